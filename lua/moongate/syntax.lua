--- Lua source → what its names stand for. In: text that LuaJIT has compiled; out: every name with the local that it is or as a global, every
--- field, every call with its arguments, each with its place. Made by recursive descent over the grammar of LuaJIT; nothing is run.
---
--- An expression is a table: `t` ("name", "index", "call", "function", "table", "string", "op", "other"), `at` and `to` (first and last byte).
--- A name has `name`, `var` (nil: a global), `scope` (what is visible there) and perhaps `written` or `tested`; an index `object`, `key`,
--- `key_at`, and `called` ("." or ":") when it is called; a call `fn` or `object` and `method`, `args` and `opens` (its bracket).
local lexer = require "moongate.lexer"

local M = {}

---@class moongate.Variable
---@field name string
---@field at integer
---@field uses integer
---@field writes integer after its declaration
---@field init? table the expression it was declared with
---@field owner? table the function whose parameter it is
---@field position? integer among the parameters

local Parser = {}
Parser.__index = Parser

local expression, block

local BINARY = {
    ["or"] = { 1, 1 }, ["and"] = { 2, 2 }, ["<"] = { 3, 3 }, [">"] = { 3, 3 }, ["<="] = { 3, 3 }, [">="] = { 3, 3 }, ["~="] = { 3, 3 },
    ["=="] = { 3, 3 }, [".."] = { 5, 4 }, ["+"] = { 6, 6 }, ["-"] = { 6, 6 }, ["*"] = { 7, 7 }, ["/"] = { 7, 7 }, ["%"] = { 7, 7 },
    ["^"] = { 10, 9 },
}
local UNARY, UNARY_PRIORITY = { ["not"] = true, ["-"] = true, ["#"] = true }, 8
--- Operators whose operands may well be nil: who asks is not mistaken.
local TESTS = { ["or"] = true, ["and"] = true, ["~="] = true, ["=="] = true, ["not"] = true }

local END = { kind = "end", text = "", at = math.huge }

function Parser:peek(ahead) return self.tokens[self.at + (ahead or 0)] or END end

function Parser:is(text, ahead)
    local token = self:peek(ahead)
    return token.text == text and (token.kind == "op" or token.kind == "keyword")
end

function Parser:next()
    local token = self:peek()
    if token == END then error("the text ends too early", 0) end
    self.at = self.at + 1
    return token
end

function Parser:accept(text)
    if not self:is(text) then return nil end
    return self:next()
end

function Parser:expect(text)
    return self:accept(text) or error(("expected %q, got %q"):format(text, self:peek().text), 0)
end

function Parser:name()
    if self:peek().kind ~= "name" then error(("expected a name, got %q"):format(self:peek().text), 0) end
    return self:next()
end

--- The last byte of the token before.
function Parser:last()
    local token = self.tokens[self.at - 1]
    return token.at + #token.text - 1
end

--- ---- scopes: a chain of the locals that are visible, the innermost first ----

function Parser:declare(token, init)
    local var = { name = token.text, at = token.at, uses = 0, writes = 0, init = init }
    self.scope = { var = var, outer = self.scope }
    if self.depth == 0 then self.tree.declared[token.text] = token.at end
    return var
end

local function lookup(scope, name)
    while scope do
        if scope.var.name == name then return scope.var end
        scope = scope.outer
    end
    return nil
end

--- Runs `fn` with locals of its own.
function Parser:within(fn, ...)
    local outer = self.scope
    fn(self, ...)
    self.scope = outer
end

--- ---- expressions ----

local function name_node(self, token)
    local node = { t = "name", name = token.text, at = token.at, to = token.at + #token.text - 1, var = lookup(self.scope, token.text) }
    if node.var then
        node.var.uses = node.var.uses + 1
    else
        node.scope = self.scope
        self.tree.globals[#self.tree.globals + 1] = node
    end
    return node
end

local function parameters(self, owner)
    while not self:is(")") do
        if not self:accept("...") then
            local var = self:declare(self:name())
            owner.params[#owner.params + 1] = var
            var.owner, var.position = owner, #owner.params
        end
        if not self:accept(",") then break end
    end
    self:expect(")")
end

--- From the bracket of the parameters to `end`.
local function function_body(self, at, with_self)
    local node = { t = "function", at = at, params = {} }
    self.depth = self.depth + 1
    self:within(function()
        if with_self then self:declare { text = "self", at = at } end
        self:expect("(")
        parameters(self, node)
        block(self)
    end)
    self.depth = self.depth - 1
    self:expect("end")
    node.to = self:last()
    return node
end

local function table_item(self)
    local token = self:peek()
    if token.kind == "name" and self:is("=", 1) then
        self.at = self.at + 2
        return { key = token.text, key_at = token.at, key_to = token.at + #token.text - 1, value = expression(self) }
    end
    if self:accept("[") then
        local key = expression(self)
        self:expect("]")
        self:expect("=")
        return { key = key.value, key_at = key.at, key_to = key.to, value = expression(self) }
    end
    return { value = expression(self) }
end

local function table_constructor(self)
    local node = { t = "table", at = self:expect("{").at, items = {} }
    while not self:is("}") do
        node.items[#node.items + 1] = table_item(self)
        if not self:accept(",") and not self:accept(";") then break end
    end
    self:expect("}")
    node.to = self:last()
    return node
end

--- A string has its `value` when no escape stands in it.
local function string_node(token)
    local node = { t = "string", at = token.at, to = token.at + #token.text - 1 }
    local inner = token.text:match("^[\"'](.*)[\"']$")
    if inner and not inner:find("\\", 1, true) then node.value = inner end
    if not inner then node.value = token.text:match("^%[=*%[\r?\n?(.-)%]=*%]$") end
    return node
end

local function list(self)
    local nodes = { expression(self) }
    while self:accept(",") do nodes[#nodes + 1] = expression(self) end
    return nodes
end

local function arguments(self)
    local token = self:peek()
    if token.kind == "string" then return { string_node(self:next()) } end
    if self:is("{") then return { table_constructor(self) } end
    self:expect("(")
    local nodes = self:is(")") and {} or list(self)
    self:expect(")")
    return nodes
end

local function add_call(self, node)
    node.opens = self:peek().at
    node.depth = self.depth
    node.args = arguments(self)
    node.to = self:last()
    self.tree.calls[#self.tree.calls + 1] = node
    return node
end

local function add_index(self, object, token, called)
    local node = {
        t = "index", at = object.at, object = object, key = token.text, key_at = token.at, key_to = token.at + #token.text - 1, called = called,
    }
    node.to = node.key_to
    self.tree.fields[#self.tree.fields + 1] = node
    return node
end

--- What follows a name or a bracket: fields, indexes, calls.
local function suffixes(self, node)
    while true do
        local token = self:peek()
        if self:accept(".") then
            node = add_index(self, node, self:name(), nil)
        elseif self:accept("[") then
            local key = expression(self)
            self:expect("]")
            local at = node.at
            if key.value then
                node = add_index(self, node, { text = key.value, at = key.at }, nil)
                node.key_to = key.to
                node.quoted = true
            else
                node = { t = "other", at = at }
            end
            node.to = self:last()
        elseif self:accept(":") then
            local index = add_index(self, node, self:name(), ":")
            node = add_call(self, { t = "call", at = node.at, object = node, method = index.key, field = index })
            index.call = node
        elseif self:is("(") or self:is("{") or token.kind == "string" then
            local field = node.t == "index" and node or nil
            if field then field.called = "." end
            node = add_call(self, { t = "call", at = node.at, fn = node, field = field })
            if field then field.call = node end
        else
            return node
        end
    end
end

local function prefixed(self)
    local token = self:peek()
    if self:accept("(") then
        local inner = expression(self)
        self:expect(")")
        return suffixes(self, { t = inner.t == "name" and "name" or "other", at = token.at, to = self:last(), var = inner.var, name = inner.name })
    end
    return suffixes(self, name_node(self, self:name()))
end

local function simple(self)
    local token = self:peek()
    if token.kind == "string" then return string_node(self:next()) end
    if token.kind == "number" or self:is("nil") or self:is("true") or self:is("false") or self:is("...") then
        self:next()
        return { t = "other", at = token.at, to = self:last() }
    end
    if self:is("{") then return table_constructor(self) end
    if self:accept("function") then return function_body(self, token.at) end
    return prefixed(self)
end

--- Asked whether it is there: a name, or the beginning of a chain of fields.
local function mark_tested(node)
    if node and (node.t == "name" or node.t == "index") then node.tested = true end
end

function expression(self, limit)
    local token, left = self:peek(), nil
    if UNARY[token.text] and token.kind ~= "string" and token.kind ~= "name" then
        self:next()
        local operand = expression(self, UNARY_PRIORITY)
        if token.text == "not" then mark_tested(operand) end
        left = { t = "op", at = token.at, to = self:last(), b = operand }
    else
        left = simple(self)
    end
    while true do
        local operator = self:peek()
        local priority = operator.kind ~= "string" and operator.kind ~= "name" and BINARY[operator.text]
        if not priority or priority[1] <= (limit or 0) then return left end
        self:next()
        local right = expression(self, priority[2])
        if TESTS[operator.text] then
            mark_tested(left)
            if operator.text ~= "and" then mark_tested(right) end -- `bit or bit32`: the one or the other
        end
        left = { t = "op", at = left.at, to = self:last(), op = operator.text, a = left, b = right }
    end
end

--- ---- statements ----

local function condition(self)
    local node = expression(self)
    mark_tested(node)
    return node
end

local function do_block(self)
    self:expect("do")
    self:within(block)
    self:expect("end")
end

local STATEMENTS = {}

STATEMENTS["if"] = function(self)
    repeat
        condition(self)
        self:expect("then")
        self:within(block)
    until not self:accept("elseif")
    if self:accept("else") then self:within(block) end
    self:expect("end")
end

STATEMENTS["while"] = function(self)
    condition(self)
    do_block(self)
end

STATEMENTS["do"] = function(self)
    self:within(block)
    self:expect("end")
end

STATEMENTS["for"] = function(self)
    local names = { self:name() }
    while self:accept(",") do names[#names + 1] = self:name() end
    if not self:accept("=") then self:expect("in") end
    list(self)
    self:within(function()
        for _, token in ipairs(names) do self:declare(token) end
        do_block(self)
    end)
end

STATEMENTS["repeat"] = function(self)
    self:within(function() -- the condition sees the locals of the block
        block(self)
        self:expect("until")
        condition(self)
    end)
end

local function mark_written(node, value)
    if node.t == "name" and node.var then node.var.writes = node.var.writes + 1 end
    node.written, node.value_written = true, value
end

STATEMENTS["function"] = function(self)
    local node, with_self = name_node(self, self:name()), false
    while self:is(".") or self:is(":") do
        with_self = self:next().text == ":"
        node = add_index(self, node, self:name(), nil)
    end
    mark_written(node, { t = "function" })
    function_body(self, node.at, with_self)
end

STATEMENTS["local"] = function(self)
    if self:accept("function") then
        local var = self:declare(self:name())
        var.init = function_body(self, var.at)
        return
    end
    local names = { self:name() }
    while self:accept(",") do names[#names + 1] = self:name() end
    local values = self:accept("=") and list(self) or {}
    for at, token in ipairs(names) do self:declare(token, values[at]) end
end

STATEMENTS["return"] = function(self)
    if self:is("end") or self:is("else") or self:is("elseif") or self:is("until") or self:is(";") or self:peek() == END then return end
    local values = list(self)
    if self.depth == 0 then self.tree.returned = values[1] end
end

STATEMENTS["break"] = function() end

--- An assignment or a call.
local function plain_statement(self)
    local nodes = { prefixed(self) }
    while self:accept(",") do nodes[#nodes + 1] = prefixed(self) end
    if not self:accept("=") then return end
    local values = list(self)
    for at, node in ipairs(nodes) do mark_written(node, values[at]) end
end

local function statement(self)
    local token = self:peek()
    local known = token.kind == "keyword" and STATEMENTS[token.text]
    if known then
        self:next()
        return known(self)
    end
    if self:accept("::") then
        self:name()
        return self:expect("::")
    end
    if token.kind == "name" and token.text == "goto" and self:peek(1).kind == "name" then
        self.at = self.at + 2
        return
    end
    plain_statement(self)
end

local CLOSERS = { ["end"] = true, ["else"] = true, ["elseif"] = true, ["until"] = true }

function block(self)
    while self:peek() ~= END and not (self:peek().kind == "keyword" and CLOSERS[self:peek().text]) do
        if not self:accept(";") then statement(self) end
    end
end

---@class moongate.Tree
---@field globals table[] names that are no local, in the order of the text
---@field fields table[] `object.key`, `object["key"]` and `object:key`
---@field calls table[]
---@field declared table<string, integer> where the last local of a name is declared outside of functions
---@field returned? table what the file returns
---@field lines integer[] where its lines begin

--- Reads a text. nil and a message when it is not Lua.
---@param text string
---@return moongate.Tree?
---@return string? message
---@return integer? at the byte that cannot be read
function M.read(text)
    local tree = { globals = {}, declared = {}, fields = {}, calls = {}, lines = lexer.lines(text), text = text }
    local self = setmetatable({ tokens = lexer.tokens(text), at = 1, depth = 0, tree = tree }, Parser)
    local ok, message = pcall(function()
        block(self)
        if self:peek() ~= END then error(("%q is not expected here"):format(self:peek().text), 0) end
    end)
    if not ok then return nil, message, self:peek() ~= END and self:peek().at or nil end
    return tree
end

--- Line and column of a byte of the text.
function M.position(tree, at)
    return lexer.position(tree.lines, at)
end

return M
