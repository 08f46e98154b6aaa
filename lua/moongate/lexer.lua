--- Lua source → tokens, each with its place. In: text; out: a list of { kind, text, at }, where kind is "name", "keyword", "string",
--- "number" or "op". Blanks and comments are skipped. Takes what LuaJIT takes; of broken text it makes what it can, and never raises.
local M = {}

local DOUBLE = { ["=="] = true, ["~="] = true, ["<="] = true, [">="] = true, [".."] = true, ["::"] = true }

local KEYWORDS = {}
for word in ([[and break do else elseif end false for function if in local nil not or repeat return then true until while]]):gmatch("%l+") do
    KEYWORDS[word] = true
end
M.KEYWORDS = KEYWORDS

--- The end of a long bracket that opens at `at`, or nil when none does.
local function long_bracket_end(text, at)
    local level = text:match("^%[(=*)%[", at)
    if not level then return nil end
    local _, last = text:find("]" .. level .. "]", at + #level + 2, true)
    return last or #text
end

local function quoted_end(text, at)
    local quote = text:sub(at, at)
    local from = at + 1
    while true do
        local stop = text:find("[\\\n" .. quote .. "]", from)
        if not stop then return #text end
        if text:sub(stop, stop) ~= "\\" then return stop end
        if text:sub(stop + 1, stop + 1) == "z" then
            from = text:find("%S", stop + 2) or #text + 1
        else
            from = stop + (text:sub(stop + 1, stop + 2) == "\r\n" and 3 or 2)
        end
    end
end

local function comment_end(text, at)
    return long_bracket_end(text, at + 2) or (text:find("\n", at, true) or #text + 1) - 1
end

--- A number ends where neither a digit, a letter, a dot nor the sign of an exponent follows.
local function number_end(text, at)
    local is_hex = text:match("^0[xX]", at)
    local exponent = is_hex and "[pP]" or "[eE]"
    local last = at
    while true do
        last = select(2, text:find("^[%w.]*", last))
        if not (text:sub(last, last):match(exponent) and text:match("^[+-]%d", last + 1)) then return last end
        last = last + 2
    end
end

--- The token at `at`: its kind (nil for what is skipped) and its last byte.
local function token_at(text, at)
    local ch = text:sub(at, at)
    if ch:match("%s") then return nil, select(2, text:find("^%s+", at)) end
    if text:sub(at, at + 1) == "--" then return nil, comment_end(text, at) end
    if ch:match("[%a_\128-\255]") then
        local last = select(2, text:find("^[%w_\128-\255]+", at))
        return KEYWORDS[text:sub(at, last)] and "keyword" or "name", last
    end
    if ch:match("%d") or text:match("^%.%d", at) then return "number", number_end(text, at) end
    if ch == '"' or ch == "'" then return "string", quoted_end(text, at) end
    if ch == "[" then
        local last = long_bracket_end(text, at)
        if last then return "string", last end
    end
    if text:sub(at, at + 2) == "..." then return "op", at + 2 end
    return "op", DOUBLE[text:sub(at, at + 1)] and at + 1 or at
end

--- All tokens. A byte order mark and a first line for the shell are passed over.
---@param text string
---@return { kind: string, text: string, at: integer }[]
function M.tokens(text)
    local tokens, at = {}, 1
    if text:sub(1, 3) == "\239\187\191" then at = 4 end
    if text:sub(at, at) == "#" then at = text:find("\n", at, true) or #text + 1 end
    while at <= #text do
        local kind, last = token_at(text, at)
        if kind then tokens[#tokens + 1] = { kind = kind, text = text:sub(at, last), at = at } end
        at = last + 1
    end
    return tokens
end

--- Where the lines of a text begin.
---@return integer[]
function M.lines(text)
    local starts = { 1 }
    for at in text:gmatch("\n()") do starts[#starts + 1] = at end
    return starts
end

--- Line and column of a byte, both from 1.
---@param starts integer[] as M.lines() gives them
---@return integer line
---@return integer column
function M.position(starts, at)
    local low, high = 1, #starts
    while low < high do
        local middle = math.ceil((low + high) / 2)
        if starts[middle] <= at then low = middle else high = middle - 1 end
    end
    return low, at - starts[low] + 1
end

return M
