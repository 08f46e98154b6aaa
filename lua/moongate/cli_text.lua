--- What the commands share when they print.
local M = {}

--- "1 route", "2 routes".
---@param count integer
---@param noun string
function M.counted(count, noun)
    return ("%d %s%s"):format(count, noun, count == 1 and "" or "s")
end

return M
