--- What the commands share when they print.
local M = {}

--- "1 route", "2 routes".
---@param count integer
---@param noun string
function M.counted(count, noun)
    return ("%d %s%s"):format(count, noun, count == 1 and "" or "s")
end

--- A line of JSON. `lists` names the keys that are lists even when they are empty, which a Lua table does not tell.
---@param value table
---@param lists string[]
---@return string
function M.json(value, lists)
    local text = require("cjson").encode(value):gsub("\\/", "/")
    for _, key in ipairs(lists) do
        local empty = ('"%s":'):format(key)
        text = text:gsub(empty .. "{}", empty .. "[]")
    end
    return text .. "\n"
end

return M
