--- Tracebacks as users read them: their own frames, each once, without those of the gateway and of C; nothing at all where the message names
--- the only one. And any value that was raised, as text.
local json = require "moongate.json"

local M = {}

local FRAMES_MAX = 12
local VALUE_MAX = 200

--- Is this line of a traceback about code of ours?
local function is_own(line)
    if line:match("^%s*%[") or line:match("^%s*%(tail call%)") or line:match("^%s*moongate%.%l+:") then return true end
    local name = line:match("^%s*moongate/([%w_]+)%.lua:") or line:match("^%s*%S*lua/moongate/([%w_]+)%.lua:")
    return name ~= nil and (name == "init" or package.loaded["moongate." .. name] ~= nil)
end

--- What debug.traceback() said, as frames: those of the gateway and of C are marked as its own.
---@param text? string
---@return { text: string, file: string?, line: integer?, is_own: boolean }[]
function M.frames(text)
    local list = {}
    for line in ((text or ""):match("stack traceback:\n(.*)$") or ""):gmatch("[^\n]+") do
        local file, number = line:match("^%s*(%S.-):(%d+):")
        list[#list + 1] = { text = line:match("^%s*(.*)$"), file = file, line = tonumber(number), is_own = is_own(line) }
    end
    return list
end

--- `text`: a message and what debug.traceback() says below it.
---@param text string
---@return string
function M.clean(text)
    local message, stack = text:match("^(.-)\n?stack traceback:\n(.*)$")
    if not message then return text end
    local place = message:match("([^%s:]+:%d+): ") or ""
    local frames, is_new, last = {}, false, nil
    for line in stack:gmatch("[^\n]+") do
        local has_line = line:match("^%s*[^:]+:%d+:") ~= nil -- the innermost frame of compiled code has none
        if not is_own(line) and has_line and line ~= last and #frames < FRAMES_MAX then
            frames[#frames + 1] = line
            is_new = is_new or line:match("^%s*([^:]+:%d+):") ~= place
        end
        last = line
    end
    if not is_new then return message end
    return message .. "\nstack traceback:\n" .. table.concat(frames, "\n")
end

--- Any value as text, also one whose __tostring raises.
function M.plain(value)
    local ok, text = pcall(tostring, value)
    return ok and text or "a value that cannot be shown"
end

--- An answer that was raised: `raised 503: too busy`, `raised "my-kind"`.
---@param name any its kind or status
---@param message any
---@return string
function M.answer(name, message)
    local text = type(name) == "string" and ("raised %q"):format(name) or "raised " .. M.plain(name)
    return message == nil and text or text .. ": " .. M.plain(message)
end

--- A value that was raised. A table is shown as what is in it.
---@return string
function M.shown(value)
    if type(value) == "table" and (getmetatable(value) == nil or getmetatable(value).__tostring == nil) then
        local ok, text = pcall(json.encode, value)
        return ok and text and #text <= VALUE_MAX and "raised the table " .. text or "raised a table"
    end
    if value == nil then return "nil was raised: error() takes a message" end
    local text = M.plain(value)
    return type(value) == "string" and text or type(value) == "table" and text or ("raised the %s %s"):format(type(value), text)
end

return M
