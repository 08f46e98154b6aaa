--- Where a key of a table stands in the text of a Lua file. In: source text; out: line and column for paths such as
--- `limits.head` or `listen[2]`. It reads tokens, not the language: what is computed elsewhere is not found, and then the nearest
--- enclosing key is named, or nothing. Never runs the file.
local lexer = require "moongate.lexer"
local schema = require "moongate.schema"

local M = {}

local OPENERS = { ["function"] = true, ["do"] = true, ["if"] = true, ["repeat"] = true }
local CLOSERS = { ["end"] = true, ["until"] = true }
local Reader = {}
Reader.__index = Reader

function Reader:is(at, text)
    local token = self.tokens[at]
    return token ~= nil and token.text == text and token.kind ~= "string"
end

--- Notes that `path` of the table called `root` stands at a token.
function Reader:note(root, path, token)
    local places = self.places[root] or {}
    self.places[root] = places
    places[path] = places[path] or token
end

--- `key =` or `["key"] =` at token `at`: the key and the token of its value.
function Reader:key_at(at)
    local token = self.tokens[at]
    if token.kind == "name" and self:is(at + 1, "=") then return token.text, at + 2 end
    local inner = self:is(at, "[") and self.tokens[at + 1]
    if inner and self:is(at + 2, "]") and self:is(at + 3, "=") then
        if inner.kind == "string" then return inner.text:match("^[\"'](.*)[\"']$"), at + 4 end
        if inner.kind == "number" then return tonumber(inner.text), at + 4 end
    end
    return nil, at
end

--- The beginning of an entry of a table: notes its key and goes to its value.
function Reader:entry(frame, at)
    frame.fresh = false
    local key, value = self:key_at(at)
    if not key then
        frame.count = frame.count + 1
        key = frame.count
    end
    frame.key = frame.path and schema.join(frame.path, key)
    if frame.key then
        local is_quoted = value > at and self:is(at, "[")
        self:note(frame.root, frame.key, self.tokens[is_quoted and at + 1 or at])
        local token = self.tokens[value]
        if token and token.kind == "name" and (self:is(value + 1, ",") or self:is(value + 1, "}")) then
            self.aliases[frame.root .. "\0" .. frame.key] = token.text
        end
    end
    return value
end

--- A statement at the top of the file that names a table: `return {`, `return name`, `name.key =`.
function Reader:statement(frame, at)
    if self:is(at, "return") then
        frame.root, frame.key = "return", ""
        local token = self.tokens[at + 1]
        if token and token.kind == "name" and self.tokens[at + 2] == nil then self.returned = token.text end
        return at + 1
    end
    local token, path, from = self.tokens[at], "", at
    while self:is(from + 1, ".") and self.tokens[from + 2] do
        from = from + 2
        path = schema.join(path, self.tokens[from].text)
    end
    if not self:is(from + 1, "=") then return at + 1 end
    frame.root, frame.key = token.text, path
    if path ~= "" then self:note(token.text, path, token) end
    return from + 2
end

function Reader:push(kind, frame)
    self.stack[#self.stack + 1] = {
        kind = kind, root = frame.root, path = kind == "table" and frame.key or nil, count = 0, fresh = kind == "table",
    }
end

function Reader:pop()
    if #self.stack > 1 then self.stack[#self.stack] = nil end
end

--- One token that is not the beginning of an entry or of a statement.
function Reader:step(frame, at)
    local token = self.tokens[at]
    local text = token.text
    if token.kind == "string" or token.kind == "number" then return end
    if text == "{" then self:push("table", frame)
    elseif text == "(" then self:push("other", frame)
    elseif OPENERS[text] then self:push("other", frame)
    elseif text == "}" or text == ")" or CLOSERS[text] then self:pop()
    elseif (text == "," or text == ";") and frame.kind == "table" then frame.fresh = true end
end

function Reader:read()
    local at = 1
    while self.tokens[at] do
        local frame = self.stack[#self.stack]
        local token = self.tokens[at]
        if frame.kind == "table" and frame.fresh and token.text ~= "}" then
            at = self:entry(frame, at)
        end
        local is_word = token.kind == "name" or token.kind == "keyword"
        local is_statement = frame.kind == "file" and is_word and not OPENERS[token.text]
        if is_statement then
            at = self:statement(frame, at)
        elseif self.tokens[at] then
            self:step(frame, at)
            at = at + 1
        end
    end
end

--- The path without its last key: `limits.head` → `limits`, `listen[2]` → `listen`.
local function parent(path)
    return path:match('^(.*)%[".*"%]$') or path:match("^(.*)%[[^%[]*%]$") or path:match("^(.*)%.[%w_]+$")
end

--- Looks a path up in a named table, through entries whose value is another named table.
local function find(reader, root, path, depth)
    local places = reader.places[root]
    if places and places[path] then return places[path] end
    local outer = parent(path)
    while outer and outer ~= "" and depth < 8 do
        local other = reader.aliases[root .. "\0" .. outer]
        if other then return find(reader, other, (path:sub(#outer + 1):gsub("^%.", "")), depth + 1) end
        outer = parent(outer)
    end
    return nil
end

--- Reads a file's text once; ask it with `:position(path)`.
---@param text string
function M.new(text)
    local reader = setmetatable({ tokens = lexer.tokens(text), places = {}, aliases = {}, lines = lexer.lines(text) }, Reader)
    reader.stack = { { kind = "file", root = "", key = nil } }
    reader:read()
    return reader
end

--- Line and column of a key of the table that the file returns, or of the nearest key around it; nil when neither is found.
---@param path string
---@return integer? line
---@return integer? column
---@return integer? end_column behind its last byte
function Reader:position(path)
    local root = self.returned or "return"
    while path and path ~= "" do
        local token = find(self, root, path, 0)
        if token then
            local line, column = lexer.position(self.lines, token.at)
            return line, column, column + #token.text
        end
        path = parent(path)
    end
    return nil
end

return M
