--- `mg.app()`: what a site does with its requests, as a value. Methods only write it down, with the place where they were
--- called; chain.lua makes it run. Misuse is raised at the caller's line. Nothing here runs for a request.
local abi = require "moongate.abi"
local caller = require "moongate.caller"
local compose = require "moongate.compose"
local descriptor = require "moongate.descriptor"
local patterns = require "moongate.pattern"
local schema = require "moongate.schema"
local upstream = require "moongate.upstream"

local M = {}

---@class moongate.App
---@field routes table[] in the order written
---@field filters table[] in the order written
---@field error_handlers table<string|integer, { fn: function, where: string }>
---@field start table[]
---@field stop table[]
---@field done table[]
---@field extensions table<string, function>
local App = {}
App.__index = App

local METHODS = {
    "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE", "PURGE", "PROPFIND", "PROPPATCH", "MKCOL",
    "COPY", "MOVE", "LOCK", "UNLOCK", "REPORT", "SEARCH", "QUERY",
}
--- The methods that a route can be bound to (src/http/methods.tbl.h).
M.METHODS = METHODS

local ERROR_KINDS = { "not-found", "method-not-allowed", "internal-error" }

local BODY_MAX = 1e15

local method = schema.custom("a method such as \"GET\"", { "string" }, function(value)
    for _, known in ipairs(METHODS) do
        if value == known then return value end
    end
    return nil, nil, type(value) == "string" and schema.suggestion(value, METHODS) or nil
end)

--- What every route can be told.
local ROUTE_FIELDS = {
    { name = "when", type = schema.func },
    { name = "body", type = schema.size(0, BODY_MAX) },
    { name = "name", type = schema.string },
}

local function fields_with(...)
    local fields = { unpack(ROUTE_FIELDS) }
    for _, more in ipairs { ... } do
        for _, field in ipairs(more) do fields[#fields + 1] = field end
    end
    return fields
end

local METHODS_FIELD = { name = "methods", type = schema.list(method, 1) }

local OPTIONS = {
    verb = schema.record(ROUTE_FIELDS),
    route = schema.record(fields_with { METHODS_FIELD }),
    files = schema.record(fields_with(descriptor.FIELDS.files)),
    proxy = schema.record(fields_with(descriptor.FIELDS.proxy, { METHODS_FIELD })),
    redirect = schema.record(fields_with(descriptor.FIELDS.redirect)),
    start = schema.record { { name = "once", type = schema.boolean, default = false } },
}

local function new_root()
    return {
        routes = {}, filters = {}, error_handlers = {}, start = {}, stop = {}, done = {}, extensions = {},
        scoped_errors = {}, -- error handlers of a host or a group, see compose.finish_errors()
        extended_at = {},   -- where each extension was made
        grafted = {},       -- apps whose hooks are here already
    }
end

--- An empty app.
---@param place? string what is said to be the place of its routes, instead of the line that writes them
---@return moongate.App
function M.new(place)
    local app = new_root()
    app.root, app.prefix, app.place = app, "", place
    return setmetatable(app, App)
end

--- Is this an app?
function M.is(value)
    return getmetatable(value) == App
end

--- A view of an app: what is written through it lies below a prefix or a host.
local function view(self, prefix, host)
    local made = {}
    for name in pairs(new_root()) do made[name] = self.root[name] end
    made.root, made.prefix, made.host_scope = self.root, prefix, host
    return setmetatable(made, App)
end

--- Ends the writing: from here on the methods raise.
function M.seal(app)
    app.root.sealed = true
end

local function check_open(self, what)
    if not M.is(self) then caller.raise(("%s: call it with a colon, as in app:%s(…)"):format(what, what:match("[%w_]+$"))) end
    if self.root.sealed then
        caller.raise(what .. ": an app is fixed once its file has loaded; routes are written at the top of the file")
    end
end

--- The place of what is being written.
local function here(self)
    return self.root.place or (caller.where())
end

local function check_function(fn, what, noun)
    if type(fn) ~= "function" then
        caller.raise(("%s: expected %s, got %s"):format(what, noun, schema.shown(fn)))
    end
end

--- The whole pattern of one written at this view. In a group "" is the prefix itself.
local function full_pattern(self, pattern, what)
    if type(pattern) ~= "string" then
        caller.raise(("%s: expected a pattern such as %q, got %s"):format(what, "/users/:id", schema.shown(pattern)))
    end
    local full = self.prefix .. pattern
    if pattern == "" and full ~= "" then return full end
    local ok, message = abi.pattern_check(pattern:sub(1, 1) == "/" and full or pattern)
    if not ok then caller.raise(what .. ": " .. message) end
    return full
end

--- A pattern that others can follow.
local function check_prefix(self, prefix, what)
    full_pattern(self, prefix, what)
    if prefix:match("/$") then caller.raise(("%s: %q: a prefix does not end in a slash"):format(what, prefix)) end
    if patterns.is_open(prefix) then caller.raise(("%s: %q: nothing can follow a wildcard"):format(what, prefix)) end
end

local function check_host(host, what)
    local checked, message = patterns.host(host)
    if not checked then caller.raise(what .. ": " .. message) end
    return checked
end

--- A handler is a function or a descriptor. Values that look like one are told what to write instead.
local function check_handler(handler, pattern, what)
    if type(handler) == "function" then return handler end
    if upstream.is(handler) then handler = descriptor.proxy(handler) end
    if not descriptor.is(handler) then handler = M.from_response(handler) or handler end
    if not descriptor.is(handler) then
        local hint = type(handler) == "table" and "; a constant answer is returned by a function" or ""
        caller.raise(("%s: expected a handler function or a descriptor, got %s%s"):format(what, schema.shown(handler), hint))
    end
    local misfit = descriptor.misfit(handler, pattern)
    if misfit then caller.raise(what .. ": " .. misfit) end
    return handler
end

--- A redirect made by `mg.redirect(…)` stands for a descriptor where a handler is expected.
---@return moongate.Descriptor?
function M.from_response(value)
    local status = type(value) == "table" and rawget(value, "status")
    local headers = status and rawget(value, "headers")
    local to = type(headers) == "table" and (headers.location or headers.Location)
    if type(to) ~= "string" or getmetatable(value) == nil then return nil end
    return descriptor.redirect(to, status)
end

local function add_route(self, what, methods, pattern, options, handler)
    local full = full_pattern(self, pattern, what)
    local when = options.when
    options.when, options.methods = nil, nil
    local routes = self.root.routes
    routes[#routes + 1] = {
        methods = methods, pattern = full, host = self.host_scope, handler = check_handler(handler, full, what),
        when = when, options = options, where = here(self), names = patterns.names(full),
    }
end

--- `(pattern, handler)` or `(pattern, options, handler)`.
local function split(kind, what, options, handler)
    if handler == nil and (type(options) ~= "table" or getmetatable(options)) then options, handler = nil, options end
    return schema.demand(OPTIONS[kind], options or {}, what), handler
end

local function verb(name, methods)
    local what = "app:" .. name
    App[name] = function(self, pattern, options, handler)
        check_open(self, what)
        local checked, fn = split("verb", what, options, handler)
        add_route(self, what, methods, pattern, checked, fn)
    end
end

--- `app:get(pattern, [options,] handler)` and its siblings. HEAD follows GET; `any` is every method.
verb("get", { "GET" })
verb("post", { "POST" })
verb("put", { "PUT" })
verb("patch", { "PATCH" })
verb("delete", { "DELETE" })
verb("head", { "HEAD" })
verb("options", { "OPTIONS" })
verb("any", nil)

--- A route for some methods: `app:route("/x", { methods = { "GET", "POST" } }, handler)`, or all in one table:
--- `app:route { "/x", methods = …, handler = … }`.
---@param pattern string|table
---@param options? { methods?: string|string[], when?: function, body?: string|integer, name?: string }
---@param handler? function|moongate.Descriptor
function App:route(pattern, options, handler)
    local what = "app:route"
    check_open(self, what)
    if type(pattern) == "table" and options == nil then
        local given = {}
        for key, value in pairs(pattern) do given[key] = value end
        pattern, handler = given[1] or given.pattern, given[2] or given.handler
        given[1], given[2], given.pattern, given.handler = nil, nil, nil, nil
        options = given
    end
    local checked, fn = split("route", what, options, handler)
    add_route(self, what, checked.methods, pattern, checked, fn)
end

--- Options that belong to a descriptor, apart from those of its route.
local function part(options, kind)
    local own = {}
    for _, field in ipairs(descriptor.FIELDS[kind]) do
        own[field.name], options[field.name] = options[field.name], nil
    end
    return own
end

--- Files below a folder, beside the file that says so: `app:files("/assets/*", "public")`.
---@param pattern string ends in a wildcard
---@param dir string
---@param options? { cache_control?: string, when?: function, name?: string }
function App:files(pattern, dir, options)
    local what = "app:files"
    check_open(self, what)
    local checked = schema.demand(OPTIONS.files, options or {}, what)
    add_route(self, what, { "GET" }, pattern, checked, descriptor.files(dir, part(checked, "files")))
end

--- Requests passed on: `app:proxy("/api/*", api)`. `path` is what the upstream is asked for instead.
---@param pattern string
---@param target moongate.Upstream|string|table an upstream, `"http://host:port"`, or a list of servers
---@param options? { path?: string, methods?: string|string[], when?: function, body?: string|integer, name?: string }
function App:proxy(pattern, target, options)
    local what = "app:proxy"
    check_open(self, what)
    local checked = schema.demand(OPTIONS.proxy, options or {}, what)
    add_route(self, what, checked.methods, pattern, checked, descriptor.proxy(target, part(checked, "proxy")))
end

--- Another place: `app:redirect("/old/:id", "/new/:id", 301)`.
---@param from string
---@param to string a path or a URL; the captures of `from` may stand in it
---@param status? integer 302 by default
---@param options? { keep_query?: boolean, when?: function, name?: string }
function App:redirect(from, to, status, options)
    local what = "app:redirect"
    check_open(self, what)
    if type(status) == "table" and options == nil then status, options = nil, status end
    local checked = schema.demand(OPTIONS.redirect, options or {}, what)
    add_route(self, what, nil, from, checked, descriptor.redirect(to, status, part(checked, "redirect")))
end

--- Around the requests of a pattern: `function(req, next)`. Without a pattern: around all of this app or group.
---@param pattern string|function
---@param fn? function
function App:filter(pattern, fn)
    local what = "app:filter"
    check_open(self, what)
    if fn == nil then pattern, fn = "/*", pattern end
    check_function(fn, what, "a filter function(req, next)")
    full_pattern(self, pattern, what)
    local filters, where = self.root.filters, here(self)
    for _, full in ipairs(compose.below(self.prefix, pattern)) do
        filters[#filters + 1] = { pattern = full, host = self.host_scope, fn = fn, where = where }
    end
end

--- Runs `fn` with the view, and gives the view.
local function within(made, fn, what)
    if fn ~= nil then
        check_function(fn, what, "a function that takes the part")
        fn(made)
    end
    return made
end

--- A part of the app below a prefix: `app:group("/admin", function(admin) admin:get("/users", …) end)`, or without the
--- function as a value to write to. In it, "" is the prefix itself and "/" the prefix with a slash.
---@param prefix string
---@param fn? fun(part: moongate.App)
---@return moongate.App
function App:group(prefix, fn)
    local what = "app:group"
    check_open(self, what)
    check_prefix(self, prefix, what)
    return within(view(self, self.prefix .. prefix, self.host_scope), fn, what)
end

--- A part of the app for one host, or for all below a name: `app:host("*.example.org", function(part) … end)`.
---@param name string
---@param fn? fun(part: moongate.App)
---@return moongate.App
function App:host(name, fn)
    local what = "app:host"
    check_open(self, what)
    local host = check_host(name, what)
    if not patterns.host_within(host, self.host_scope) then
        caller.raise(("%s: %q lies outside of %q"):format(what, name, self.host_scope))
    end
    return within(view(self, self.prefix, host), fn, what)
end

--- Another app below a prefix, as it is now.
---@param prefix string
---@param other moongate.App
function App:mount(prefix, other)
    local what = "app:mount"
    check_open(self, what)
    if M.is(prefix) and other == nil then prefix, other = "", prefix end
    if not M.is(other) then caller.raise(("%s: expected an app, got %s"):format(what, schema.shown(other))) end
    if other.root == self.root then caller.raise(what .. ": an app cannot be mounted in itself") end
    if prefix == "/" then prefix = "" end
    if prefix ~= "" then check_prefix(self, prefix, what) end
    compose.graft(self.root, other.root, { prefix = self.prefix .. prefix, host = self.host_scope }, function(where, message)
        caller.raise(("%s: %s (%s)"):format(what, message, where))
    end)
end

--- The key of an error: a kind, a status, or "*" for all. A near miss of a built-in kind is told.
local function error_key(key, what)
    if key == "*" or key == "any" then return "*" end
    if type(key) == "number" and key % 1 == 0 and key >= 400 and key <= 599 then return key end
    if type(key) ~= "string" or key == "" then
        caller.raise(('%s: expected a kind such as "not-found", a status from 400 to 599 or "*", got %s'):format(
            what, schema.shown(key)))
    end
    for _, kind in ipairs(ERROR_KINDS) do
        if key ~= kind and key:lower():gsub("[%-_ ]", "") == kind:gsub("%-", "") then
            caller.raise(("%s: unknown kind %q (did you mean %q?)"):format(what, key, kind))
        end
    end
    return key
end

--- Answers errors: "not-found", "method-not-allowed", "internal-error", a status, a kind of your own, or "*".
--- In a group or a host it holds for that part.
---@param key string|integer
---@param fn fun(req, err): any
function App:on_error(key, fn)
    local what = "app:on_error"
    check_open(self, what)
    key = error_key(key, what)
    check_function(fn, what, "a function(req, err)")
    local other = compose.add_error(self.root, {
        key = key, fn = fn, where = here(self), prefix = self.prefix, host = self.host_scope,
    })
    if other then caller.raise(("%s: a handler of %q is already at %s"):format(what, tostring(key), other)) end
end

--- Runs when a worker starts, before it accepts. `once`: in one worker only.
---@param fn function
---@param options? { once?: boolean }
function App:on_start(fn, options)
    local what = "app:on_start"
    check_open(self, what)
    if type(fn) == "table" and type(options) == "function" then fn, options = options, fn end
    check_function(fn, what, "a function")
    local once = schema.demand(OPTIONS.start, options or {}, what).once
    local hooks = self.root.start
    hooks[#hooks + 1] = { fn = fn, once = once, where = here(self) }
end

local function hook(name, list, noun)
    local what = "app:" .. name
    App[name] = function(self, fn)
        check_open(self, what)
        check_function(fn, what, noun)
        local hooks = self.root[list]
        hooks[#hooks + 1] = { fn = fn, where = here(self) }
    end
end

--- `app:on_stop(fn)`: when a worker ends, after its last request. `app:on_done(fn)`: after the last byte of each answer.
hook("on_stop", "stop", "a function")
hook("on_done", "done", "a function(req)")

--- What requests have of their own (request.lua).
local REQUEST_NAMES = {}
for name in ([[accepts authority chunks content_length content_type cookies form header_list header_values headers host id inflated is_gone
    json method on_done params parts path port query query_string remote remote_port save scheme slot state target text version]]):gmatch("%S+") do
    REQUEST_NAMES[name] = true
end

local function add_extension(root, what, name, fn)
    if type(name) ~= "string" or not name:match("^%a[%w_]*$") then
        caller.raise(("%s: expected a name, got %s"):format(what, schema.shown(name)))
    end
    if REQUEST_NAMES[name] then caller.raise(("%s: req.%s is there already"):format(what, name)) end
    check_function(fn, what, "a function(req)")
    if root.extensions[name] then
        caller.raise(("%s: req.%s is already made at %s"):format(what, name, root.extended_at[name]))
    end
    root.extensions[name], root.extended_at[name] = fn, caller.where()
end

--- A field of every request, computed when it is first asked for: `app:extend_request("user", function(req) … end)`.
---@param name string
---@param fn fun(req): any
function App:extend_request(name, fn)
    check_open(self, "app:extend_request")
    add_extension(self.root, "app:extend_request", name, fn)
end

--- ---- the generation being loaded ----

local loading

--- Loading begins: extensions of all apps are gathered here until `finish_loading()`.
function M.begin_loading()
    loading = new_root()
end

--- Loading has ended. What was said for all apps, in the shape of an app.
function M.finish_loading()
    local gathered = loading
    loading = nil
    return gathered
end

--- `mg.extend_request(name, fn)`: for all apps of the files being loaded.
---@param name string
---@param fn fun(req): any
function M.extend_request(name, fn)
    if not loading then caller.raise("mg.extend_request: only while the files load") end
    add_extension(loading, "mg.extend_request", name, fn)
end

M.App = App

return M
