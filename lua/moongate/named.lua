--- What the text of a file names literally, for when the file itself cannot be run: the modules that it requires, the apps that a config
--- stands for, the fields that requests are given. In: text, broken or not; out: lists of names. Only what stands there beyond doubt.
local lexer = require "moongate.lexer"

local M = {}

--- The text of a token that is a plain string; or nil.
local function plain(token)
    return token and token.kind == "string" and token.text:match("^[\"']([^\\\n]*)[\"']$") or nil
end

--- The strings that a function of this name is called with, as in `require "x"` and `app:extend_request("x", …)`.
---@param text string
---@param fn string
---@return string[]
function M.arguments(text, fn)
    local names, tokens = {}, lexer.tokens(text)
    for at, token in ipairs(tokens) do
        if token.kind == "name" and token.text == fn then
            local first = tokens[at + 1] and tokens[at + 1].text == "(" and tokens[at + 2] or tokens[at + 1]
            names[#names + 1] = plain(first)
        end
    end
    return names
end

--- Does an entry of a table end before this token? What is computed from a string is not the string.
local function ends_entry(token, next_token)
    if token == nil or token.text:match("^[,;}]$") then return true end
    return (token.kind == "name" or token.text == "[") and next_token ~= nil -- a comma is missing: the next entry begins
end

--- The files of `app = "x.lua"`, and of each entry of `hosts`.
---@param text string
---@return string[]
function M.apps(text)
    local names, tokens, depth, hosts = {}, lexer.tokens(text), 0, nil
    for at, token in ipairs(tokens) do
        local key = tokens[at - 1] and tokens[at - 1].text == "=" and tokens[at - 2]
        if token.text == "{" then
            depth = depth + 1
            if key and key.text == "hosts" then hosts = depth end
        elseif token.text == "}" then
            if depth == hosts then hosts = nil end
            depth = depth - 1
        elseif key and (key.text == "app" or depth == hosts) and ends_entry(tokens[at + 1], tokens[at + 2]) then
            local name = plain(token)
            names[#names + 1] = name and name:match("%.lua$") and name or nil
        end
    end
    return names
end

return M
