--- Apps put together: one app grafted into another below a prefix or a host, error handlers that hold for a part of the site
--- only, and routes that hide each other. Works on finished values; runs while loading, but for the choice of an error handler.
local loading = require "moongate.loading"
local pattern = require "moongate.pattern"

local M = {}

--- The narrower of two hosts; nil, false when they have nothing in common.
local function narrow(outer, inner)
    if pattern.host_within(inner, outer) then return inner, true end
    if pattern.host_within(outer, inner) then return outer, true end
    return nil, false
end

local function copy(entry, changes)
    local made = {}
    for key, value in pairs(entry) do made[key] = value end
    for key, value in pairs(changes) do made[key] = value end
    return made
end

--- What a filter's pattern becomes below a prefix: "/*" covers the prefix itself, too.
---@return string[]
function M.below(prefix, filter_pattern)
    if prefix ~= "" and filter_pattern == "/*" then return { prefix, prefix .. "/*" } end
    return { prefix .. filter_pattern }
end

--- A route's own options before those of its app.
local function with_limits(options, limits)
    if next(limits) == nil then return options end
    return copy(limits, options or {})
end

local function graft_routes(target, source, scope, fail)
    for _, route in ipairs(source.routes) do
        loading.pause()
        local host, fits = narrow(scope.host, route.host)
        if fits then
            local full = scope.prefix .. route.pattern
            local made = copy(route, { pattern = full, names = pattern.names(full), options = with_limits(route.options, source.own_limits or {}) })
            made.host = host
            target.routes[#target.routes + 1] = made
        else
            fail(route.where, ("host %q lies outside %q, where this app is used"):format(route.host, scope.host))
        end
    end
end

local function graft_filters(target, source, scope)
    for _, filter in ipairs(source.filters) do
        local host, fits = narrow(scope.host, filter.host)
        for _, below in ipairs(fits and M.below(scope.prefix, filter.pattern) or {}) do
            local made = copy(filter, { pattern = below })
            made.host = host
            target.filters[#target.filters + 1] = made
        end
    end
end

--- Adds one error handler to an app: for all of it, or for a host or a prefix. Returns the place of one that is there already.
---@return string? where
function M.add_error(app, entry)
    if entry.prefix == "" and entry.host == nil then
        local other = app.error_handlers[entry.key]
        if other then return other.where end
        app.error_handlers[entry.key] = { fn = entry.fn, where = entry.where }
        return nil
    end
    for _, other in ipairs(app.scoped_errors) do
        if other.key == entry.key and other.host == entry.host and other.prefix == entry.prefix then return other.where end
    end
    app.scoped_errors[#app.scoped_errors + 1] = entry
    return nil
end

local function graft_error(target, entry, fail)
    local other = M.add_error(target, entry)
    if other and other ~= entry.where then
        fail(entry.where, ("a handler of %q is already at %s"):format(tostring(entry.key), other))
    end
end

local function graft_errors(target, source, scope, fail)
    for key, handler in pairs(source.error_handlers) do
        graft_error(target, { key = key, fn = handler.fn, where = handler.where, prefix = scope.prefix, host = scope.host }, fail)
    end
    for _, entry in ipairs(source.scoped_errors) do
        local host, fits = narrow(scope.host, entry.host)
        if fits then
            local made = copy(entry, { prefix = scope.prefix .. entry.prefix })
            made.host = host
            graft_error(target, made, fail)
        end
    end
end

local function graft_hooks(target, source)
    if target.grafted[source] then return end
    target.grafted[source] = true
    for _, name in ipairs { "start", "stop", "done" } do
        for _, hook in ipairs(source[name]) do target[name][#target[name] + 1] = hook end
    end
end

local function graft_extensions(target, source, fail)
    for name, fn in pairs(source.extensions) do
        local other = target.extensions[name]
        if other and other ~= fn then
            fail(source.extended_at[name], ("req.%s is already made at %s"):format(name, target.extended_at[name]))
        else
            target.extensions[name], target.extended_at[name] = fn, source.extended_at[name]
        end
    end
end

--- Copies what `source` has into `target`. Hooks of an app that is grafted twice run once.
---@param scope { prefix: string, host?: string }
---@param fail fun(where: string, message: string)
function M.graft(target, source, scope, fail)
    graft_routes(target, source, scope, fail)
    graft_filters(target, source, scope)
    graft_errors(target, source, scope, fail)
    graft_hooks(target, source)
    graft_extensions(target, source, fail)
end

--- ---- error handlers of a part ----

local function host_rank(host)
    if host == nil then return 0 end
    return (host:sub(1, 2) == "*." and 1000 or 2000) + #host
end

--- Scopes with their handlers by key, the most specific first.
local function scopes_of(app)
    local scopes, by_name = {}, {}
    local function scope(host, prefix)
        local name = (host or "") .. "\0" .. prefix
        if not by_name[name] then
            by_name[name] = { host = host, prefix = prefix, handlers = {} }
            scopes[#scopes + 1] = by_name[name]
        end
        return by_name[name].handlers
    end
    for _, entry in ipairs(app.scoped_errors) do scope(entry.host, entry.prefix)[entry.key] = entry end
    for key, handler in pairs(app.error_handlers) do scope(nil, "")[key] = handler end
    table.sort(scopes, function(a, b)
        local ra, rb = host_rank(a.host), host_rank(b.host)
        if ra ~= rb then return ra > rb end
        if #a.prefix ~= #b.prefix then return #a.prefix > #b.prefix end
        return (a.host or "") .. a.prefix < (b.host or "") .. b.prefix
    end)
    return scopes
end

local function holds(scope, host, path)
    if not pattern.host_within(host, scope.host) then return false end
    if path:sub(1, #scope.prefix) ~= scope.prefix then return false end
    return #path == #scope.prefix or scope.prefix == "" or path:byte(#scope.prefix + 1) == 47
end

--- The kinds of errors that come with a status alone.
local KINDS = { [404] = "not-found", [405] = "method-not-allowed", [500] = "internal-error" }

--- Where handlers hold for a part of the site only, each key gets one function that picks by host and path: the innermost part
--- that has a handler for the error's kind, its status or "*". Without one, the bare status gives the built-in answer.
local function picker(scopes)
    return function(req, err)
        local host = (req.host or ""):lower():gsub(":%d*$", ""):gsub("%.$", "")
        for _, scope in ipairs(scopes) do
            if holds(scope, host, req.path) then
                local handlers = scope.handlers
                local handler = handlers[err.kind] or handlers[err.status] or handlers[KINDS[err.status]] or handlers["*"]
                if handler then return handler.fn(req, err) end
            end
        end
        return err.status or 500
    end
end

--- Makes `error_handlers` whole: one entry per key, whatever part it is for.
function M.finish_errors(app)
    if #app.scoped_errors == 0 then return end
    local scopes = scopes_of(app)
    local pick = picker(scopes)
    local finished = {}
    for _, scope in ipairs(scopes) do
        for key, handler in pairs(scope.handlers) do
            local before = finished[key]
            finished[key] = { fn = pick, where = before and before.where .. ", " .. handler.where or handler.where }
        end
    end
    app.error_handlers = finished
end

--- ---- routes that hide each other ----

--- The methods that both routes answer: a list, "any" when both answer every one, or nil. Beside a route for any method one for some is
--- the narrower, and both have their requests.
local function shared_methods(a, b)
    if not a and not b then return "any" end
    if not a or not b then return nil end
    local shared = {}
    for _, method in ipairs(b) do
        for _, other in ipairs(a) do
            if method == other then shared[#shared + 1] = method end
        end
    end
    return #shared > 0 and shared or nil
end

local function shape_of(route)
    return (route.host or "") .. "\0" .. pattern.shape(route.pattern)
end

--- Routes with a predicate come before the one without that would answer in their place, wherever they were written.
---@return table[] routes
function M.order(routes)
    local waiting, ordered, placed = {}, {}, {}
    for _, route in ipairs(routes) do
        loading.pause()
        local shape = shape_of(route)
        waiting[shape] = waiting[shape] or {}
        if route.when then table.insert(waiting[shape], route) end
    end
    local function place(route)
        if not placed[route] then ordered[#ordered + 1] = route end
        placed[route] = true
    end
    for _, route in ipairs(routes) do
        loading.pause()
        if not route.when then
            for _, earlier in ipairs(waiting[shape_of(route)]) do place(earlier) end
        end
        place(route)
    end
    return ordered
end

--- Pairs of routes of which the later can never be reached: same host, same shape, a common method, no predicate. `methods`: those that
--- the first takes from the second.
---@return { first: table, second: table, methods: "any"|string[] }[]
function M.duplicates(routes)
    local by_shape, found = {}, {}
    for _, route in ipairs(routes) do
        loading.pause()
        if not route.when then
            local key = shape_of(route)
            local same = by_shape[key] or {}
            by_shape[key] = same
            for _, other in ipairs(same) do
                local shared = shared_methods(other.methods, route.methods)
                if shared then
                    found[#found + 1] = { first = other, second = route, methods = shared }
                    break
                end
            end
            same[#same + 1] = route
        end
    end
    return found
end

return M
