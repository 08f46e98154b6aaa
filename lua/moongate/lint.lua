--- Names that are not there, found without running anything: globals that nobody makes, and fields that a request, an app or `mg` do not
--- have, where the text itself shows what a name stands for. In: a file's tree (syntax.lua); out: problems with line, column and what was
--- probably meant. What cannot be told for certain is passed over.
local names = require "moongate.names"
local schema = require "moongate.schema"
local syntax = require "moongate.syntax"

local M = {}

local VERBS = { get = true, post = true, put = true, patch = true, delete = true, head = true, options = true, any = true, route = true }

--- What the parameters of a function are that is given to these methods of an app, and which argument it is; -1 is the last.
local ROLES = {
    filter = { "req", "next" }, on_error = { "req", "err" }, on_done = { "req" }, extend_request = { "req" }, group = { "app" }, host = { "app" },
}
for name in pairs(VERBS) do ROLES[name] = { "req" } end

--- The same for functions of `mg`.
local MG_ROLES = { stream = { "out", argument = 1 }, sse = { "events", argument = 1 }, extend_request = { "req", argument = -1 } }

local Lint = {}
Lint.__index = Lint

--- ---- what an expression stands for: "mg", "app", "req", …, or nil ----

--- What a call makes.
function Lint:made_by(call)
    if call.fn and call.fn.t == "name" and call.fn.name == "require" and not call.fn.var then
        return call.args[1] and call.args[1].value == "moongate" and "mg" or nil
    end
    if call.method then
        local of = self:kind_of(call.object)
        return of == "app" and (call.method == "group" or call.method == "host") and "app" or nil
    end
    if call.fn.t == "index" and call.fn.key == "app" and self:kind_of(call.fn.object) == "mg" then return "app" end
    return self:kind_of(call.fn) == "next" and "res" or nil
end

function Lint:kind_of(node)
    if node == nil then return nil end
    if node.t == "call" then return self:made_by(node) end
    local var = node.t == "name" and node.var
    if not var or var.writes > 0 then return nil end
    if self.kinds[var] ~= nil then return self.kinds[var] or nil end
    if var.owner then return var.owner.roles and var.owner.roles[var.position] or nil end
    self.kinds[var] = false -- while it is found out
    local kind = self:kind_of(var.init)
    if kind then self.kinds[var] = kind else self.kinds[var] = nil end
    return kind
end

--- The function that an argument is: written there, or a local one that is used as nothing else.
function Lint:function_of(node, roles)
    if not node then return nil end
    if node.t == "function" then return node end
    local var = node.t == "name" and node.var
    if not var or var.writes > 0 or not var.init or var.init.t ~= "function" then return nil end
    local given = self.given[var] or { count = 0, seen = {}, roles = roles }
    self.given[var] = given
    if not given.seen[node] then
        given.seen[node] = true
        given.count = given.count + 1
    end
    if given.roles[1] ~= roles[1] or given.roles[2] ~= roles[2] then given.mixed = true end
    return given.count == var.uses and not given.mixed and var.init or nil
end

function Lint:give(node, roles)
    local fn = self:function_of(node, roles)
    if fn and not fn.roles then
        fn.roles = roles
        self.changed = true
    end
end

local function last_of(args) return args[#args] end

--- Functions among the options of a route, or in the one table of app:route.
function Lint:give_items(call)
    for _, node in ipairs(call.args) do
        for _, item in ipairs(node.t == "table" and node.items or {}) do
            if item.key == "when" or item.key == "handler" then self:give(item.value, ROLES.get) end
            if not item.key and item.value.t == "function" and call.method == "route" then self:give(item.value, ROLES.get) end
        end
    end
end

--- Tells functions what they are given, until nothing new comes up.
function Lint:find_roles()
    local rounds = 0
    repeat
        self.changed = false
        rounds = rounds + 1
        for _, call in ipairs(self.tree.calls) do
            local roles = call.method and ROLES[call.method]
            if roles and self:kind_of(call.object) == "app" then
                self:give(last_of(call.args), roles)
                self:give_items(call)
            end
            local field = not call.method and call.fn.t == "index" and call.fn
            local own = field and MG_ROLES[field.key]
            if own and self:kind_of(field.object) == "mg" then
                self:give(own.argument == 1 and call.args[1] or last_of(call.args), own)
            end
        end
    until not self.changed or rounds == 8
end

--- ---- telling ----

function Lint:add(at, to, message, hint, about)
    local line, column = syntax.position(self.tree, at)
    local last_line, last = syntax.position(self.tree, to)
    self.problems:add {
        file = self.file, line = line, column = column, end_column = last_line == line and last + 1 or nil, message = message, hint = hint,
        about = about,
    }
end

function Lint:others(kind)
    return kind == "req" and self.extensions or nil
end

--- A member that is there, but not in this way.
function Lint:check_use(node, kind, mark)
    local name = node.key
    if mark == ":" and node.called == "." then
        local first = node.call.args[1]
        if first and first.t == "name" and first.name == node.object.name then return end -- req.json(req)
        self:add(node.key_at, node.key_to, ("%s.%s: it is called with a colon"):format(kind, name), ("write %s:%s(…)"):format(kind, name), name)
    elseif mark == "." and node.called == ":" then
        self:add(node.key_at, node.key_to, ("%s:%s: it is called with a dot"):format(kind, name), ("write %s.%s(…)"):format(kind, name), name)
    elseif mark == "=" and node.called and name ~= "value" then
        self:add(node.at, node.key_to, ("%s.%s is a value, not a function"):format(kind, name), ("write %s.%s"):format(kind, name), name)
    end
end

function Lint:check_field(node)
    local kind = self:kind_of(node.object)
    local known = kind and names.kinds[kind]
    local name = node.key
    if not known or name:sub(1, 1) == "_" then return end
    if node.written then
        if kind == "app" or known.settable[name] then return end
        local message, hint = names.unsettable(kind, name)
        return self:add(node.key_at, node.key_to, message, hint, name)
    end
    local mark = known.members[name]
    if mark then return self:check_use(node, kind, mark) end
    if self.written[kind .. "." .. name] or kind == "req" and self.known_extensions[name] then return end
    local message, hint, near = names.missing(kind, name, self:others(kind))
    if kind == "req" and self.is_partial and not near then return end
    self:add(node.key_at, node.key_to, message, hint, name)
end

--- Options of functions that are called for requests, and so are not looked at while loading.
function Lint:check_options(call)
    local field = not call.method and call.fn.t == "index" and call.fn
    local options = field and names.options[field.key]
    if not options or self:kind_of(field.object) ~= "mg" then return end
    local node = call.args[options.argument]
    for _, item in ipairs(node and node.t == "table" and node.items or {}) do
        local is_known = not item.key
        for _, name in ipairs(options.names) do is_known = is_known or name == item.key end
        if not is_known then
            self:add(item.key_at, item.key_to, ("mg.%s: %s: unknown key"):format(field.key, item.key), schema.suggestion(item.key, options.names), item.key)
        end
    end
end

function Lint:check_next(call)
    if call.fn and #call.args == 0 and self:kind_of(call.fn) == "next" then
        self:add(call.at, call.to, "next: expected the request, got nothing", "write next(req)")
    end
end

--- ---- globals ----

--- What other languages and systems call it.
local INSTEAD = {
    mg = 'write local mg = require "moongate" above', moongate = 'write local mg = require "moongate" above',
    app = "write local app = mg.app() above", req = "a handler is given the request: function(req) … end",
    null = "Lua's nothing is nil; JSON's is mg.null", undefined = "Lua's nothing is nil", None = "Lua's nothing is nil",
    NULL = "Lua's nothing is nil; JSON's is mg.null", True = "write true", False = "write false", continue = "write goto, or an if around the rest",
    ngx = "that belongs to another gateway: the request is what a handler is given, the answer what it returns",
    json = "a table that is returned is JSON; mg.json(value) makes any value JSON", cjson = 'write local cjson = require "cjson" above',
    utf8 = "Lua 5.1 has no utf8; LuaJIT reads bytes", async = "what waits looks like any other call", await = "what waits looks like any other call",
    let = "write local", var = "write local", const = "write local", new = "write the call alone", this = "a method has self",
    self = "a method has a colon: function t:name() … end", fetch = "a route passes requests on with app:proxy",
    response = "the answer is what a handler returns", request = "a handler is given the request: function(req) … end",
    res = "in a filter: local res = next(req)", module = "return a table at the end of the file", ffi = 'write local ffi = require "ffi" above',
}

local function visible(scope)
    local list = {}
    while scope do
        list[#list + 1] = scope.var.name
        scope = scope.outer
    end
    return list
end

--- What was probably meant by a global that is not there.
---@param name string
---@param there string[] names that are
---@return string? near
---@return string hint
function M.meant(name, there)
    if INSTEAD[name] then return nil, INSTEAD[name] end
    local near = schema.nearest(name, there)
    if near then return near, ("did you mean %q?"):format(near) end
    return nil, ("nothing is called %q here; text stands in quotes"):format(name)
end

function Lint:tell_global(node)
    local there = visible(node.scope)
    for name in pairs(self.globals) do there[#there + 1] = name end
    for _, word in ipairs { "true", "false", "nil" } do there[#there + 1] = word end
    table.sort(there)
    local _, hint = M.meant(node.name, there)
    local below = self.tree.declared[node.name]
    if below and below > node.at then
        hint = ("a local is known from its line on: %q is made at line %d"):format(node.name, (syntax.position(self.tree, below)))
    end
    self:add(node.at, node.to, ("global %q is not there"):format(node.name), hint, node.name)
end

local function tell_written(self, node)
    local form = node.value_written and node.value_written.t == "function" and "local function %s(…)" or "local %s = …"
    self:add(node.at, node.to, ("global %q is assigned: nothing is global, make it local"):format(node.name), "write " .. form:format(node.name),
        node.name)
end

--- Names that a file asks for before it uses them, and those it assigns, are told no more.
function Lint:check_globals()
    local passed = {}
    for _, node in ipairs(self.tree.globals) do
        if node.name == "setfenv" or node.name == "getfenv" then return end
        if node.tested then passed[node.name] = true end
    end
    for _, call in ipairs(self.tree.calls) do
        local argument = call.args[1]
        local is_type = call.fn and call.fn.t == "name" and (call.fn.name == "type" or call.fn.name == "rawset")
        if call.fn and call.fn.name == "rawset" and argument and argument.name == "_G" then return end
        if is_type and argument and argument.t == "name" then passed[argument.name] = true end
    end
    for _, node in ipairs(self.tree.globals) do
        if node.written and not self.globals[node.name] then
            tell_written(self, node)
            passed[node.name] = true
        end
    end
    for _, node in ipairs(self.tree.globals) do
        if not node.written and not self.globals[node.name] and not passed[node.name] then self:tell_global(node) end
    end
end

--- ---- one file ----

---@class moongate.Linted
---@field file string
---@field tree moongate.Tree
---@field globals table<string, boolean> what is global there
---@field extensions string[] what requests were given by app:extend_request
---@field is_partial? boolean not every file has run to its end: requests may have been given more

--- Adds what is wrong with the names of a file.
---@param file moongate.Linted
---@param problems table
function M.check(file, problems)
    local lint = setmetatable({
        file = file.file, tree = file.tree, globals = file.globals, extensions = file.extensions, is_partial = file.is_partial,
        problems = problems, kinds = {}, given = {}, written = {}, known_extensions = {},
    }, Lint)
    for _, name in ipairs(file.extensions) do lint.known_extensions[name] = true end
    lint:find_roles()
    for _, node in ipairs(file.tree.fields) do
        local kind = node.written and lint:kind_of(node.object)
        if kind then lint.written[kind .. "." .. node.key] = true end
    end
    for _, node in ipairs(file.tree.fields) do lint:check_field(node) end
    for _, call in ipairs(file.tree.calls) do
        lint:check_options(call)
        lint:check_next(call)
    end
    lint:check_globals()
end

return M
