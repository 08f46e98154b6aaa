--- Text for HTML pages. In: any value; out: text that is data, never markup, in element content and in quoted
--- attributes.
local M = {}

local ENTITIES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;" }

--- Safe between tags and inside quoted attribute values; not inside <script>, <style> or an unquoted attribute.
---@param value any nil is ""
---@return string
function M.escape(value)
    if value == nil then return "" end
    return (tostring(value):gsub("[&<>\"']", ENTITIES))
end

return M
