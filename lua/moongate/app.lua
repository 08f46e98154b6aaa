--- `mg.app()`: what a site does with its requests, as a value. Methods only write it down, with the place where they were
--- called; chain.lua makes it run. Misuse is told at the caller's line, and the next call is looked at. Nothing here runs for a request.
local abi = require "moongate.abi"
local caller = require "moongate.caller"
local compose = require "moongate.compose"
local descriptor = require "moongate.descriptor"
local ghost = require "moongate.ghost"
local loading = require "moongate.loading"
local names = require "moongate.names"
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
--- What is no method, and is nil for us; who else asks for a name that is not there is told.
local OWN = { host_scope = true, sealed = true, place = true, folder = true, root = true, prefix = true }

function App.__index(_, name)
    local method = App[name]
    if method ~= nil or OWN[name] or not caller.is_user(2) then return method end
    local message, hint = names.missing("app", name)
    caller.tell(message, hint, { about = name })
    return ghost.get()
end

local METHODS = {
    "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE", "PURGE", "PROPFIND", "PROPPATCH", "MKCOL",
    "COPY", "MOVE", "LOCK", "UNLOCK", "REPORT", "SEARCH", "QUERY",
}
--- The methods that a route can be bound to (src/http/methods.tbl.h).
M.METHODS = METHODS

local ERROR_KINDS = { "not-found", "method-not-allowed", "internal-error" }

local BODY_MAX = 2 ^ 50

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
    { name = "handler_time", type = schema.duration(10, 3.6e6) },
    { name = "handler_grace", type = schema.duration(10, 3.6e6) },
    { name = "request_time", type = schema.duration(10, 8.64e7) },
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
    limits = schema.record {
        { name = "body", type = schema.size(0, BODY_MAX) },
        { name = "handler_time", type = schema.duration(10, 3.6e6) },
        { name = "handler_grace", type = schema.duration(10, 3.6e6) },
        { name = "request_time", type = schema.duration(10, 8.64e7) },
    },
    start = schema.record { { name = "once", type = schema.boolean, default = false } },
}

local function new_root()
    return {
        routes = {}, filters = {}, error_handlers = {}, start = {}, stop = {}, done = {}, extensions = {},
        scoped_errors = {}, -- error handlers of a host or a group, see compose.finish_errors()
        extended_at = {},   -- where each extension was made
        grafted = {},       -- apps whose hooks are here already
        own_limits = {},    -- what its routes have that say nothing else
    }
end

--- An empty app.
---@param place? string what is said to be the place of its routes, instead of the line that writes them
---@return moongate.App
function M.new(place)
    if place ~= nil and type(place) ~= "string" then caller.raise("mg:app: it is called with a dot", "write mg.app()", { what = "mg.app", about = "app" }) end
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
    if not M.is(self) then
        local name = what:match("[%w_]+$")
        caller.raise(("%s: it is called with a colon"):format((what:gsub(":", "."))), ("write app:%s(…)"):format(name), { what = what, about = name })
    end
    if self.root.sealed then
        caller.raise(what .. ": an app is fixed once its file has loaded; routes are written at the top of the file")
    end
end

--- The place of what is being written.
local function here(self)
    return self.root.place or (caller.where())
end

local function check_function(fn, what, noun, argument)
    if type(fn) == "function" then return true end
    caller.tell(("%s: expected %s, got %s"):format(what, noun, schema.shown(fn)), nil, { what = what, argument = argument or -1 })
    return false
end

--- What is wrong with a pattern as it is written: a message, a hint, and the byte.
local function pattern_fault(pattern, full)
    local colons = patterns.with_colons(pattern)
    if colons then return ("%q: a capture is written with a colon"):format(pattern), ("write %q"):format(colons) end
    local ok, message = abi.pattern_check(pattern:sub(1, 1) == "/" and full or pattern)
    if ok then return nil end
    local hint = pattern:match("^[%w*:]") and ("write %q"):format("/" .. pattern) or nil
    return message, hint, tonumber(message:match('", byte (%d+): '))
end

--- The whole pattern of one written at this view, or nil when it is told to be wrong. In a group "" is the prefix itself.
local function full_pattern(self, pattern, what)
    local spot = { what = what, argument = 1, value = pattern }
    if type(pattern) ~= "string" then
        caller.tell(("%s: expected a pattern such as %q, got %s"):format(what, "/users/:id", schema.shown(pattern)), nil, spot)
        return nil
    end
    local full = self.prefix .. pattern
    if pattern == "" and full ~= "" then return full end
    local message, hint, byte = pattern_fault(pattern, full)
    if not message then return full end
    spot.byte = byte and (pattern:sub(1, 1) == "/" and byte - #self.prefix or byte)
    caller.tell(what .. ": " .. message, hint, spot)
    return nil
end

--- A pattern that others can follow.
local function check_prefix(self, prefix, what)
    local full = full_pattern(self, prefix, what)
    if not full then return nil end
    local spot = { what = what, argument = 1, value = prefix }
    if prefix:match("/$") then
        local hint = prefix == "/" and "without a prefix no part is needed: write to the app" or ("write %q"):format((prefix:gsub("/+$", "")))
        caller.tell(("%s: %q: a prefix does not end in a slash"):format(what, prefix), hint, spot)
        return nil
    end
    if not patterns.is_open(prefix) then return full end
    caller.tell(("%s: %q: nothing can follow a wildcard"):format(what, prefix), nil, spot)
    return nil
end

local function check_host(host, what)
    local checked, message = patterns.host(host)
    if not checked then caller.tell(what .. ": " .. message, nil, { what = what, argument = 1, value = host }) end
    return checked
end

local HANDLER_HINTS = {
    ["nil"] = "name the function, without calling it; is it defined above this line?",
    string = "an answer is returned by a function: function(req) return %s end", table = "a constant answer is returned by a function",
    number = "an answer is returned by a function: function(req) return %s end",
}

--- A handler is a function or a descriptor; nil when it is told to be neither. Values that look like one are told what to write instead.
local function check_handler(handler, pattern, what)
    if type(handler) == "function" then return handler end
    if upstream.is(handler) then handler = descriptor.proxy(handler) end
    if not descriptor.is(handler) then handler = M.from_response(handler) or handler end
    local spot = { what = what, argument = -1 }
    if not descriptor.is(handler) then
        local hint = HANDLER_HINTS[type(handler)]
        spot.is_missing = handler == nil
        caller.tell(("%s: expected a handler function or a descriptor, got %s"):format(what, schema.shown(handler)),
            hint and hint:format(schema.shown(handler)), spot)
        return nil
    end
    local misfit, hint = nil, nil
    if pattern then misfit, hint = descriptor.misfit(handler, pattern) end
    if not misfit then return handler end
    spot.argument = 1
    caller.tell(what .. ": " .. misfit, hint, spot)
    return nil
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

--- `full`: the whole pattern, nil when it is wrong; `written`: what stands in the file.
local function add_route(self, what, methods, full, written, options, handler)
    local when = options.when
    options.when, options.methods = nil, nil
    local checked = check_handler(handler, full, what)
    if not full or not checked then return end
    loading.pause()
    local routes = self.root.routes
    routes[#routes + 1] = {
        methods = methods, pattern = full, host = self.host_scope, handler = checked, when = when, options = options, where = here(self),
        names = patterns.names(full), spot = { what = what, argument = 1, value = written },
    }
end

--- Does a plain table say something about a route? One that does not is meant as an answer.
local function is_options(given)
    local names_any = next(given) == nil
    for _, field in ipairs(fields_with { METHODS_FIELD }) do names_any = names_any or given[field.name] ~= nil end
    return names_any
end

--- `(pattern, handler)` or `(pattern, options, handler)`.
local function split(kind, what, options, handler)
    local argument = 2
    local is_table = type(options) == "table" and not getmetatable(options)
    if handler == nil and not (is_table and is_options(options)) then options, handler, argument = nil, options, nil end
    return schema.demand(OPTIONS[kind], options or {}, what, argument), handler
end

--- A method of apps: loading goes on when it is misused.
local function public(name, fn, fallback)
    App[name] = caller.forgiving(fn, fallback)
end

local function verb(name, methods)
    local what = "app:" .. name
    public(name, function(self, pattern, options, handler)
        check_open(self, what)
        if type(pattern) == "function" and options == nil then
            caller.raise(what .. ": the pattern is missing", ('write %s("/", function(req) … end)'):format(what), { what = what, argument = 1 })
        end
        local full = full_pattern(self, pattern, what)
        local checked, fn = split("verb", what, options, handler)
        add_route(self, what, methods, full, pattern, checked, fn)
    end)
end

--- Limits of all routes of an app, wherever they stand, that have none of their own: `app:limits { body = "10m", handler_time = "200ms" }`.
--- They go with the app where it is mounted.
---@param limits { body?: string|integer, handler_time?: string|number, handler_grace?: string|number, request_time?: string|number }
public("limits", function(self, limits)
    check_open(self, "app:limits")
    if self.root ~= self then caller.raise("app:limits: limits are those of a whole app, not of a group or a host: say it of the app, or of each route") end
    for name, value in pairs(schema.demand(OPTIONS.limits, limits, "app:limits", 1)) do self.own_limits[name] = value end
end)

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
public("route", function(self, pattern, options, handler)
    local what = "app:route"
    check_open(self, what)
    local argument = 2
    if type(pattern) == "table" and options == nil then
        local given = {}
        for key, value in pairs(pattern) do given[key] = value end
        pattern, handler = given[1] or given.pattern, given[2] or given.handler
        given[1], given[2], given.pattern, given.handler = nil, nil, nil, nil
        options, argument = given, 1
    elseif handler == nil and type(options) == "function" then
        options, handler = nil, options
    end
    local full = full_pattern(self, pattern, what)
    local checked = schema.demand(OPTIONS.route, options or {}, what, argument)
    add_route(self, what, checked.methods, full, pattern, checked, handler)
end)

--- Options that belong to a descriptor, apart from those of its route.
local function part(options, kind)
    local own = {}
    for _, field in ipairs(descriptor.FIELDS[kind]) do
        own[field.name], options[field.name] = options[field.name], nil
    end
    return descriptor.checked(own)
end

--- Files below a folder, beside the file that says so: `app:files("/assets/*", "public")`.
---@param pattern string ends in a wildcard
---@param dir string
---@param options? { cache_control?: string, when?: function, name?: string }
public("files", function(self, pattern, dir, options)
    local what = "app:files"
    check_open(self, what)
    local full = full_pattern(self, pattern, what)
    local checked = schema.demand(OPTIONS.files, options or {}, what, 3)
    add_route(self, what, { "GET" }, full, pattern, checked, descriptor.files(dir, part(checked, "files")))
end)

--- Requests passed on: `app:proxy("/api/*", api)`. `path` is what the upstream is asked for instead.
---@param pattern string
---@param target moongate.Upstream|string|table an upstream, `"http://host:port"`, or a list of servers
---@param options? { path?: string, methods?: string|string[], when?: function, body?: string|integer, name?: string }
public("proxy", function(self, pattern, target, options)
    local what = "app:proxy"
    check_open(self, what)
    local full = full_pattern(self, pattern, what)
    local checked = schema.demand(OPTIONS.proxy, options or {}, what, 3)
    add_route(self, what, checked.methods, full, pattern, checked, descriptor.proxy(target, part(checked, "proxy")))
end)

--- Another place: `app:redirect("/old/:id", "/new/:id", 301)`.
---@param from string
---@param to string a path or a URL; the captures of `from` may stand in it
---@param status? integer 302 by default
---@param options? { keep_query?: boolean, when?: function, name?: string }
public("redirect", function(self, from, to, status, options)
    local what = "app:redirect"
    check_open(self, what)
    if type(status) == "table" and options == nil then status, options = nil, status end
    local full = full_pattern(self, from, what)
    local checked = schema.demand(OPTIONS.redirect, options or {}, what, -1)
    add_route(self, what, nil, full, from, checked, descriptor.redirect(to, status, part(checked, "redirect")))
end)

--- Around the requests of a pattern: `function(req, next)`. Without a pattern: around all of this app or group.
---@param pattern string|function
---@param fn? function
public("filter", function(self, pattern, fn)
    local what = "app:filter"
    check_open(self, what)
    local written = pattern
    if fn == nil and type(pattern) ~= "string" then pattern, fn, written = "/*", pattern, nil end
    local is_sound = check_function(fn, what, "a filter function(req, next)")
    if not full_pattern(self, pattern, what) or not is_sound then return end
    local filters, where = self.root.filters, here(self)
    local spot = { what = what, argument = 1, value = written }
    for _, full in ipairs(compose.below(self.prefix, pattern)) do
        filters[#filters + 1] = { pattern = full, host = self.host_scope, fn = fn, where = where, spot = spot }
    end
end)

--- A part of the app: `make` gives its prefix and host, or nothing when they are told to be wrong; then what is written in it is looked at
--- and not kept. Runs `fn` with it, and gives it.
local function part_method(name, make)
    local what = "app:" .. name
    local made_view = caller.forgiving(function(self, text, fn)
        check_open(self, what)
        if fn ~= nil then check_function(fn, what, "a function that takes the part") end
        local prefix, host = make(self, text, what)
        return prefix and view(self, prefix, host) or M.new("[unknown]")
    end, function() return M.new("[unknown]") end)
    App[name] = function(self, text, fn)
        local made = made_view(self, text, fn)
        if type(fn) == "function" then fn(made) end
        return made
    end
end

--- A part of the app below a prefix: `app:group("/admin", function(admin) admin:get("/users", …) end)`, or without the
--- function as a value to write to. In it, "" is the prefix itself and "/" the prefix with a slash.
---@param prefix string
---@param fn? fun(part: moongate.App)
---@return moongate.App
part_method("group", function(self, prefix, what)
    return check_prefix(self, prefix, what), self.host_scope
end)

--- A part of the app for one host, or for all below a name: `app:host("*.example.org", function(part) … end)`.
---@param name string
---@param fn? fun(part: moongate.App)
---@return moongate.App
part_method("host", function(self, name, what)
    local host = check_host(name, what)
    if host and patterns.host_within(host, self.host_scope) then return self.prefix, host end
    if host then
        caller.tell(("%s: %q lies outside of %q"):format(what, name, self.host_scope), nil, { what = what, argument = 1, value = name })
    end
    return nil
end)

--- Another app below a prefix, as it is now.
---@param prefix string
---@param other moongate.App
public("mount", function(self, prefix, other)
    local what = "app:mount"
    check_open(self, what)
    local spot = { what = what, argument = -1 }
    if M.is(prefix) and other == nil then prefix, other = "", prefix end
    if not M.is(other) then caller.raise(("%s: expected an app, got %s"):format(what, schema.shown(other)), nil, spot) end
    if other.root == self.root then caller.raise(what .. ": an app cannot be mounted in itself", nil, spot) end
    if prefix == "/" then prefix = "" end
    if prefix ~= "" and not check_prefix(self, prefix, what) then return end
    compose.graft(self.root, other.root, { prefix = self.prefix .. prefix, host = self.host_scope }, function(where, message)
        caller.tell(("%s: %s (%s)"):format(what, message, where), nil, spot)
    end)
end)

--- The key of an error: a kind, a status, or "*" for all; nil when it is told to be wrong. A near miss of a built-in kind is told.
local function error_key(key, what)
    if key == "*" or key == "any" then return "*" end
    if type(key) == "number" and key % 1 == 0 and key >= 400 and key <= 599 then return key end
    local spot = { what = what, argument = 1, value = key }
    if type(key) ~= "string" or key == "" then
        local hint = type(key) == "number" and "errors have a status from 400 to 599" or nil
        caller.tell(('%s: expected a kind such as "not-found", a status or "*", got %s'):format(what, schema.shown(key)), hint, spot)
        return nil
    end
    for _, kind in ipairs(ERROR_KINDS) do
        if key ~= kind and key:lower():gsub("[%-_ ]", "") == kind:gsub("%-", "") then
            caller.tell(("%s: unknown kind %q"):format(what, key), ("did you mean %q?"):format(kind), spot)
            return nil
        end
    end
    return key
end

--- Answers errors: "not-found", "method-not-allowed", "internal-error", a status, a kind of your own, or "*".
--- In a group or a host it holds for that part.
---@param key string|integer
---@param fn fun(req, err): any
public("on_error", function(self, key, fn)
    local what = "app:on_error"
    check_open(self, what)
    key = error_key(key, what)
    if not check_function(fn, what, "a function(req, err)") or key == nil then return end
    local other = compose.add_error(self.root, {
        key = key, fn = fn, where = here(self), prefix = self.prefix, host = self.host_scope,
    })
    if other then
        caller.tell(("%s: a handler of %s is already at %s"):format(what, schema.shown(key), other), nil, { what = what, argument = 1, value = key })
    end
end)

--- Runs when a worker starts, before it accepts. `once`: in one worker only.
---@param fn function
---@param options? { once?: boolean }
public("on_start", function(self, fn, options)
    local what = "app:on_start"
    check_open(self, what)
    local argument = 2
    if type(fn) == "table" and type(options) == "function" then fn, options, argument = options, fn, 1 end
    local once = schema.demand(OPTIONS.start, options or {}, what, argument).once
    if not check_function(fn, what, "a function", 1) then return end
    local hooks = self.root.start
    hooks[#hooks + 1] = { fn = fn, once = once, where = here(self) }
end)

local function hook(name, list, noun)
    local what = "app:" .. name
    public(name, function(self, fn)
        check_open(self, what)
        if not check_function(fn, what, noun, 1) then return end
        local hooks = self.root[list]
        hooks[#hooks + 1] = { fn = fn, where = here(self) }
    end)
end

--- `app:on_stop(fn)`: when a worker ends, after its last request. `app:on_done(fn)`: after the last byte of each answer.
hook("on_stop", "stop", "a function")
hook("on_done", "done", "a function(req)")

local function add_extension(root, what, name, fn)
    local spot = { what = what, argument = 1, value = name }
    if type(name) ~= "string" or not name:match("^%a[%w_]*$") then
        caller.raise(("%s: expected a name, got %s"):format(what, schema.shown(name)), nil, spot)
    end
    if names.kinds.req.members[name] or name == "slot" then
        caller.raise(("%s: req.%s is there already"):format(what, name), "take another name", spot)
    end
    if root.extensions[name] then
        caller.raise(("%s: req.%s is already made at %s"):format(what, name, root.extended_at[name]), nil, spot)
    end
    if not check_function(fn, what, "a function(req)") then fn = function() end end -- the name is there, so its uses are no mistakes
    root.extensions[name], root.extended_at[name] = fn, caller.where()
end

--- A field of every request, computed when it is first asked for: `app:extend_request("user", function(req) … end)`.
---@param name string
---@param fn fun(req): any
public("extend_request", function(self, name, fn)
    check_open(self, "app:extend_request")
    add_extension(self.root, "app:extend_request", name, fn)
end)

--- ---- the generation being loaded ----

--- Extensions of all apps are gathered by the present loading from here on, until `gathered()`.
function M.gather()
    loading.now.gathered = new_root()
end

--- What was said for all apps, in the shape of an app. Nothing more is taken.
function M.gathered()
    local gathered = loading.now.gathered
    loading.now.gathered = nil
    return gathered
end

--- `mg.extend_request(name, fn)`: for all apps of the files being loaded.
---@param name string
---@param fn fun(req): any
M.extend_request = caller.forgiving(function(name, fn)
    local gathered = loading.now and loading.now.gathered
    if not gathered then caller.raise("mg.extend_request: only while the files load") end
    add_extension(gathered, "mg.extend_request", name, fn)
end)

M.App = App

return M
