--- Iterators over content that may fail in the middle. In a `for` loop, which would take a failure for the end,
--- the failure is raised as an answer ({ status, message }, like mg.raise); called by hand, without arguments,
--- they return nil, message, status.
local M = {}

local select, error = select, error

--- An iterator around a function that returns a piece; nil at the end; or nil, message, status.
---@param step fun(self: any): any, string?, integer?
---@param self? any what to call it with
---@return fun(...): any, string?, integer?
function M.iterator(step, self)
    return function(...)
        local piece, message, status = step(self)
        -- `for` calls with its state and control value.
        if piece == nil and status and select("#", ...) > 0 then error({ status = status, message = message }, 0) end
        return piece, message, status
    end
end

--- All pieces as one string; or nil, message, status: 413 beyond `limit` bytes.
---@param step fun(self: any): string?, string?, integer?
---@param self any
---@param limit integer bytes
---@param what string for the message: "field \"a\""
---@return string? text
---@return string? message
---@return integer? status
function M.gather(step, self, limit, what)
    local list, count, bytes = {}, 0, 0
    while true do
        local piece, message, status = step(self)
        if piece == nil then
            if status then return nil, message, status end
            return table.concat(list)
        end
        bytes = bytes + #piece
        if bytes > limit then return nil, ("%s is longer than %d bytes"):format(what, limit), 413 end
        count = count + 1
        list[count] = piece
    end
end

return M
