--- Makes a generation run: registers its routes with the router in C and generates the dispatcher, the loop that asks for a request, finds
--- its leaf in a balanced tree of comparisons on the route number, and runs filters and handler there in a straight line.
--- The source is generated anew for every generation: LuaJIT's blacklist lives in the prototype.
local ffi = require "ffi"
local abi = require "moongate.abi"
local await = require "moongate.await"
local descriptor = require "moongate.descriptor"
local failures = require "moongate.failure"
local fits = require "moongate.fits"
local handles = require "moongate.handles"
local isolate = require "moongate.isolate"
local loop = require "moongate.loop"
local pattern = require "moongate.pattern"
local route_text = require("moongate.plan").route_text
local request = require "moongate.request"
local response = require "moongate.response"

local M = {}

local C = abi.C
local NOT_FOUND, METHOD_WRONG, FIRST = C.MG_ROUTE_NOT_FOUND, C.MG_ROUTE_METHOD, C.MG_ROUTE_FIRST
-- LuaJIT's jumps reach 32,768 instructions: functions are split before that. Predicates cost most.
local LEAVES_MOST, LEAVES_PER_FUNCTION, LEAVES_WITH_PREDICATES, ROUTES_PER_CHAIN = 512, 128, 64, 4

--- ---- routes → the router ----

local function mask_of(methods)
    if not methods then return 2 ^ 32 - 1 end
    local mask = 0
    for _, name in ipairs(methods) do mask = bit.bor(mask, bit.lshift(1, tonumber(C["METHOD_" .. name]))) end
    return mask % 2 ^ 32
end

local function shape_of(route)
    return (route.host or "") .. " " .. pattern.shape(route.pattern)
end

--- Methods that routes of each shape name.
local function named_methods(routes, pause)
    local named = {}
    for _, route in ipairs(routes) do
        pause()
        local shape = shape_of(route)
        local list = named[shape] or {}
        named[shape] = list
        for _, method in ipairs(route.methods or {}) do
            if not list[method] then
                list[method] = true
                list[#list + 1] = method
            end
        end
    end
    return named
end

--- The methods that a route is tried for; "*": those that no route of its shape names. The router prefers a named method to any, so a
--- predicate that is for any method has to stand with each.
local function tried_for(route, named)
    if route.methods then return route.methods end
    local list = { "*" }
    if route.when then
        for _, method in ipairs(named[shape_of(route)]) do list[#list + 1] = method end
    end
    return list
end

--- Routes that differ only by `when` are one to the router: a group, tried in order.
local function group_routes(routes, pause)
    local groups, by_key, named = {}, {}, named_methods(routes, pause)
    for at, route in ipairs(routes) do
        pause()
        for _, method in ipairs(tried_for(route, named)) do
            local key = method .. " " .. shape_of(route)
            local group = by_key[key]
            if group and group.open then
                group[#group + 1] = route
                group.open = route.when ~= nil
            else
                group = { route, number = FIRST + at - 1, open = route.when ~= nil, methods = method ~= "*" and { method } or nil }
                by_key[key] = group
                groups[#groups + 1] = group
            end
        end
    end
    return groups
end

--- One number per group, and one for each further route of it; groups of one route with several methods are one.
local function fold(groups)
    local folded, single, taken, next_number = {}, {}, {}, 0
    for _, group in ipairs(groups) do next_number = math.max(next_number, group.number) end
    local function another()
        next_number = next_number + 1
        return next_number
    end
    for _, group in ipairs(groups) do
        local route = group[1]
        local first = #group == 1 and group.methods and single[route]
        if first then
            first.methods[#first.methods + 1] = group.methods[1]
        else
            if #group == 1 and group.methods then single[route] = group end
            if taken[group.number] then group.number = another() end
            taken[group.number] = true
            folded[#folded + 1] = group
        end
    end
    for _, group in ipairs(folded) do
        group.numbers = { group.number }
        for at = 2, #group do group.numbers[at] = another() end
    end
    return folded, next_number
end

local function own_limit(route) return route.options and route.options.body end

--- The longest body that a group takes, -1: the default. Routes of one group with different limits are told apart when they are chosen.
---@param longest? number of all groups, where predicates may send a request on to one with another limit: nothing can be said before
local function limit_of(group, default, longest)
    local most, same = 0, true
    for _, route in ipairs(group) do
        same = same and own_limit(route) == own_limit(group[1])
        most = math.max(most, own_limit(route) or default)
    end
    group.own_limits, group.default_limit = longest ~= nil or not same, default
    if longest and group.open then return longest end
    return same and (own_limit(group[1]) or -1) or most
end

--- The longest body of all, where a request may be sent on from a route to one with another limit; nil where it cannot.
local function longest_of(groups, default)
    local longest, differ, open = default, false, false
    for _, group in ipairs(groups) do
        open = open or group.open
        for _, route in ipairs(group) do
            local own = own_limit(route)
            differ = differ or own ~= nil and own ~= default
            longest = math.max(longest, own or default)
        end
    end
    return open and differ and longest or nil
end

--- Fills a builder of the router. Raises on what validation should have found.
local function register(builder, groups, pause)
    local message, other = ffi.new("char[512]"), ffi.new("int32_t[1]")
    for _, group in ipairs(groups) do
        pause()
        local route = group[1]
        local host = route.host or ""
        local rc = C.mg_routes_add(builder, host, #host, route.pattern, #route.pattern, mask_of(group.methods), group.number, message, 512, other)
        if rc < 0 then return nil, ("%s: %s"):format(route.where, ffi.string(message)) end
    end
    return true
end

--- ---- filters ----

--- The filters of a route in order: { fn =, where =, test = nil | function }.
function M.filters_of(app, route)
    local list = {}
    for _, filter in ipairs(app.filters) do
        local relation = route and pattern.covers(filter, route) or "sometimes"
        if not route and filter.pattern == "/*" and not filter.host then relation = "always" end
        if relation ~= "never" then
            if relation == "sometimes" and not filter.test then filter.test = fits.asker(filter) end
            list[#list + 1] = { fn = filter.fn, where = filter.where, pattern = filter.pattern, host = filter.host,
                test = relation == "sometimes" and filter.test or nil }
        end
    end
    return list
end

--- ---- the source ----

local HEAD = [[
local C, w, reqs, live, yield, ASIDE, answer, reset, app, v, leaves, border = ...
local type = type
local retry
local function turn_to(req, number)
    req._p.match.route = number
    return true
end
]]

local Source = {}
Source.__index = Source

function Source:add(depth, text, ...)
    self[#self + 1] = ("    "):rep(depth) .. text:format(...) .. "\n"
end

--- What was added so far is compiled by itself, so that nobody waits for the whole.
function Source:cut()
    self.pause()
    self.pieces[#self.pieces + 1] = assert(loadstring(HEAD .. table.concat(self), "=moongate.dispatcher"))
    for at = #self, 1, -1 do self[at] = nil end
end

--- Keeps a value for the generated code; its index in `v`.
function Source:value(value)
    local values = self.values
    values[#values + 1] = value
    return #values
end

--- What a filter calls as `next`: built once per route and position, each from source of its own, or traces of different routes would
--- meet in one prototype.
local INNER = [[
local lost, result, app, handler, fn, where, test, rest = ...
%s]]
local BODIES = {
    last = "return function(req) if not req then lost() end return result(app, req, handler(req)) end",
    filter = "return function(req) if not req then lost() end local a, b, c = fn(req, rest) return result(app, req, a, b, c, where) end",
    tested = [[return function(req)
        if not req then lost() end
        if not test(req) then return rest(req) end
        local a, b, c = fn(req, rest)
        return result(app, req, a, b, c, where)
    end]],
}

--- A filter called `next()`.
local function lost() error("next: expected the request, got nothing (write next(req))", 3) end

local function inner(app, filters, at, handler)
    local filter = filters[at]
    local body = not filter and BODIES.last or filter.test and BODIES.tested or BODIES.filter
    local rest = filter and inner(app, filters, at + 1, handler)
    local make = loadstring(INNER:format(body), "=moongate.filter")
    if not filter then return make(lost, response.result, app, handler) end
    return make(lost, response.result, app, handler, filter.fn, filter.where, filter.test, rest)
end

local function is_function(value) return type(value) == "function" end

--- The statements that run one route and answer.
local function emit_route(source, depth, app, route)
    local handler = route.handler
    local constant = not is_function(handler)
    local filters = M.filters_of(app, route.pattern and route)
    if route.isolated then
        if not constant then handler = isolate.wrap(handler) end
        for _, filter in ipairs(filters) do filter.fn = isolate.wrap(filter.fn) end
    end
    if #filters > 0 then
        local fn = constant and function() return handler end or handler
        local first = filters[1]
        if first.test then
            source:add(depth, "answer(app, req, v[%d](req))", source:value(inner(app, filters, 1, fn)))
        else
            source:add(depth, "local a, b, c = v[%d](req, v[%d])", source:value(first.fn), source:value(inner(app, filters, 2, fn)))
            source:add(depth, "answer(app, req, a, b, c, %q)", first.where)
        end
    elseif constant and handler.kind == "files" and app.held and handles.folder(app.held, handler) and not app.done[1] then
        source:add(depth, "local rc = C.mg_reply_folder(w, slot, %d)", handler.handle)
        source:add(depth, "if rc < 0 then v[%d](app, req, rc, v[%d])", source:value(response.failed_folder), source:value(handler))
        source:add(depth, "elseif req._used then v[%d](app, req) end", source:value(response.over))
    elseif constant then
        source:add(depth, "answer(app, req, v[%d])", source:value(handler))
    else
        source:add(depth, "local a, b, c = v[%d](req)", source:value(handler))
        if app.done[1] then
            source:add(depth, "answer(app, req, a, b, c)")
        else
            source:add(depth, "if b == nil and type(a) == 'string' and not req._hooks then")
            source:add(depth + 1, "C.mg_reply(w, slot, 200, %d, a, #a)", tonumber(C.MG_CONTENT_TEXT))
            source:add(depth + 1, "if req._used then reset(req) end")
            source:add(depth, "else answer(app, req, a, b, c) end")
        end
    end
end

--- A route of a group whose routes have limits of their own.
local function emit_limited(source, depth, app, group, route)
    if not group.own_limits then return emit_route(source, depth, app, route) end
    local limit = route.options and route.options.body or group.default_limit
    source:add(depth, "if C.mg_body_limit(w, slot, %.0f) < 0 then", limit)
    source:add(depth + 1, "answer(app, req, v[%d])", source:value(failures.new(413, nil, "the content is longer than this resource takes")))
    source:add(depth, "else")
    emit_route(source, depth + 1, app, route)
    source:add(depth, "end")
end

--- Some routes of a group in order; when all predicates say no, `again` is true. Each has its own number, for its captures' names.
local function emit_chain(source, depth, app, group, from, to)
    local keyword, closed = "if", false
    for at = from, to do
        local route = group[at]
        local turn = at > 1 and ("turn_to(req, %d)"):format(group.numbers[at])
        local inside = keyword == "elseif" and 1 or 0
        if route.when then
            source:add(depth, "%s %sv[%d](req) then", keyword, turn and turn .. " and " or "", source:value(route.when))
            emit_limited(source, depth + 1, app, group, route)
            keyword = "elseif"
        else
            if inside == 1 then source:add(depth, "else") end
            if turn then source:add(depth + inside, "%s", turn) end
            emit_limited(source, depth + inside, app, group, route)
            closed = true
            break
        end
    end
    if keyword == "if" then return end
    if not closed then source:add(depth, "else again = true") end
    source:add(depth, "end")
end

--- A leaf: the routes of a group in order; when all predicates say no, the next candidate.
local function emit_leaf(source, depth, app, group)
    source.pause()
    if not group.chain then return emit_chain(source, depth, app, group, 1, #group) end
    source:add(depth, "again = leaves[%d](req, slot)", group.chain)
end

local function emit_tree(source, depth, app, groups, from, to)
    if from == to then return emit_leaf(source, depth, app, groups[from]) end
    local middle = math.floor((from + to) / 2)
    source:add(depth, "if route <= %d then", groups[middle].number)
    emit_tree(source, depth + 1, app, groups, from, middle)
    source:add(depth, "else")
    emit_tree(source, depth + 1, app, groups, middle + 1, to)
    source:add(depth, "end")
end

--- Groups of many routes are chains of functions, each of which goes on to the next.
local function emit_chains(source, app, groups, number)
    for _, group in ipairs(groups) do
        group.chain = #group > ROUTES_PER_CHAIN and number + 1 or nil
        for from = 1, group.chain and #group or 0, ROUTES_PER_CHAIN do
            local to = math.min(from + ROUTES_PER_CHAIN - 1, #group)
            number = number + 1
            source:add(0, "leaves[%d] = function(req, slot)", number)
            source:add(1, "local again = false")
            emit_chain(source, 1, app, group, from, to)
            if to < #group then source:add(1, "if again then return leaves[%d](req, slot) end", number + 1) end
            source:add(1, "return again")
            source:add(0, "end")
        end
    end
end

--- Large trees are split: jumps reach only so far, and a prototype holds only so many constants.
local function emit_leaves(source, app, groups)
    local each = source.leaves_each
    local parts = math.ceil(#groups / each)
    emit_chains(source, app, groups, parts)
    for part = 1, parts do
        local from, to = (part - 1) * each + 1, math.min(part * each, #groups)
        source:add(0, "leaves[%d] = function(req, slot, route)", part)
        source:add(1, "local again = false")
        emit_tree(source, 1, app, groups, from, to)
        source:add(1, "return again")
        source:add(0, "end")
        source:cut()
    end
    return parts
end

local function emit_choice(source, depth, groups, from, to)
    if from == to then
        source:add(depth, "again = leaves[%d](req, slot, route)", from)
        return
    end
    local middle = math.floor((from + to) / 2)
    source:add(depth, "if route <= %d then", groups[math.min(middle * source.leaves_each, #groups)].number)
    emit_choice(source, depth + 1, groups, from, middle)
    source:add(depth, "else")
    emit_choice(source, depth + 1, groups, middle + 1, to)
    source:add(depth, "end")
end

local function has_predicates(groups)
    for _, group in ipairs(groups) do
        if group[1].when then return true end
    end
    return false
end

--- Predicates that all said no send the request on to the next candidate. This is no loop in the dispatcher: LuaJIT would begin traces at
--- it that leave at once, and after twenty such it would never again compile what contains it.
local function emit_retry(source, groups, parts)
    source:add(0, "function retry(req, slot, skip)")
    source:add(1, "local route, again = C.mg_rematch(w, slot, skip)")
    emit_choice(source, 1, groups, 1, parts)
    source:add(1, "if again then return retry(req, slot, skip + 1) end")
    source:add(0, "end")
end

local function emit_request(source, depth, app, groups, parts)
    if not parts then return emit_tree(source, depth, app, groups, 1, #groups) end
    source:add(depth, "local again")
    emit_choice(source, depth, groups, 1, parts)
    source:add(depth, "if again then retry(req, slot, 1) end")
end

local function emit_loop(source, app, groups, parts)
    source:add(0, "return function(job)")
    source:add(1, "if job then job() end")
    source:add(1, "while true do")
    source:add(2, "if live.busy ~= 0 then")
    source:add(3, "local task = yield(ASIDE)")
    source:add(3, "if task then task() end")
    source:add(2, "else")
    source:add(3, "local slot = C.mg_next(w)")
    source:add(3, "if slot >= 0 then")
    source:add(4, "local req = reqs[slot]")
    source:add(4, "local route = border.route") -- not by way of req: what lies between would be made anew for each trace that goes on elsewhere
    emit_request(source, 4, app, groups, parts)
    source:add(3, "elseif slot == -1 then")
    source:add(4, "local task = yield(ASIDE)")
    source:add(4, "if task then task() end")
    source:add(3, "else return end")
    source:add(2, "end")
    source:add(1, "end")
    source:add(0, "end")
end

--- ---- routes that every app has ----

--- No route for the path. Filters see this, too; the answer is the error handler's.
local function not_found()
    return failures.new(404, "not-found", "nothing is at this path")
end

--- None for the method.
local function method_wrong(req)
    if req.method == "OPTIONS" then return 204 end
    return failures.new(405, "method-not-allowed", req.method .. " is not one of its methods")
end

local function built_in_groups()
    return { { handler = not_found }, number = NOT_FOUND, numbers = { NOT_FOUND } },
        { { handler = method_wrong }, number = METHOD_WRONG, numbers = { METHOD_WRONG } }
end

--- ---- a generation ----

local function no_pause() end

--- Upstreams that routes name are opened at once, so that what is wrong with them is told now.
local function open_upstreams(app)
    for _, route in ipairs(app.routes) do
        local handler = route.handler
        if descriptor.is(handler) and handler.kind == "proxy" then
            for _, upstream in ipairs(descriptor.upstreams(handler)) do
                local handle, message = handles.upstream(app.held, upstream)
                if not handle then return nil, ("%s: %s"):format(route.where, message) end
            end
        end
    end
    return true
end

--- The dispatcher of an app's groups of routes.
local function make_runner(app, groups, pause)
    local predicates = has_predicates(groups)
    local leaves_each = predicates and LEAVES_WITH_PREDICATES or LEAVES_PER_FUNCTION
    local source = setmetatable({ values = {}, pieces = {}, pause = pause, leaves_each = leaves_each }, Source)
    local parts
    if #groups > LEAVES_MOST or predicates then
        parts = emit_leaves(source, app, groups)
        emit_retry(source, groups, parts)
    end
    emit_loop(source, app, groups, parts)
    source:cut()
    local live, leaves, main = { busy = 0 }, {}, nil
    for _, chunk in ipairs(source.pieces) do
        main = chunk(C, abi.worker, request.objects, live, await.raw_yield, loop.ASIDE, response.answer, request.reset, app, source.values, leaves,
            abi.border)
    end
    return { main = main, live = live }
end

--- The routes of a generation for C: nil and a message when there is no memory for them, or one is not well-formed.
local function make_routes(generation, groups, limits, last, pause)
    local builder = C.mg_routes_new()
    local ok, message = register(builder, groups, pause)
    local count = last + 1
    local bytes = ffi.new("double[?]", count)
    for number = 0, last do bytes[number] = limits[number] or -1 end
    local routes = ok and C.mg_routes_make(builder, bytes, count, generation.program)
    C.mg_routes_free(builder)
    if not ok then return nil, message end
    if routes == nil then return nil, "not enough memory for the routes" end
    for number, name in pairs(generation.titles) do C.mg_routes_name(routes, number, name, #name) end
    for number, route in pairs(generation.by_number) do
        local options = route.options or {}
        if options.handler_time or options.handler_grace or options.request_time then
            C.mg_routes_time(routes, number, options.handler_time or 0, options.handler_grace or 0, options.request_time or 0)
        end
    end
    return routes
end

--- Builds all that a generation needs to serve, without putting it into service: its routes for C, its dispatcher, its upstreams.
---@param generation moongate.Living with its app, its config and its program
---@param pause? fun() called again and again on the way: may let others run
---@return true? built
---@return string? message
function M.build(generation, pause)
    pause = pause or no_pause
    local app = generation.app
    local groups, last = fold(group_routes(app.routes, pause))
    local names, limits, titles, places, by_number, by_first = {}, {}, {}, {}, {}, {}
    local body = generation.config.settings.body_bytes
    local longest = longest_of(groups, body)
    for _, group in ipairs(groups) do
        limits[group.number] = limit_of(group, body, longest)
        by_first[group.number] = group
        for at, route in ipairs(group) do
            local number = group.numbers[at]
            names[number], titles[number], places[number] = route.names, route_text(route), route.where
            by_number[number] = route
        end
    end
    generation.limits = limits
    generation.names, generation.titles, generation.places, generation.by_number = names, titles, places, by_number
    generation.filters_of = M.filters_of
    local ok, message = open_upstreams(app)
    if not ok then return nil, message end
    generation.routes, message = make_routes(generation, groups, limits, math.max(last, METHOD_WRONG), pause)
    if not generation.routes then return nil, message end
    groups[#groups + 1], groups[#groups + 2] = built_in_groups()
    table.sort(groups, function(a, b) return a.number < b.number end)
    generation.groups, generation.leaves, generation.runner = by_first, groups, make_runner(app, groups, pause)
    return true
end

--- Puts a generation into service in this worker. Nothing of it can fail.
---@param generation moongate.Living
function M.use(generation)
    C.mg_routes_use(abi.worker, generation.routes)
    loop.use(generation.runner)
end

--- Moves a route of the generation that serves behind a coroutine (isolate.lua): the same routes with a dispatcher made anew.
---@param generation moongate.Living
---@return boolean moved
function M.isolate(generation, number)
    local route = generation.by_number[number]
    if not route or route.isolated or generation.state ~= "serving" then return false end
    route.isolated = true
    generation.runner = make_runner(generation.app, generation.leaves, no_pause)
    loop.use(generation.runner)
    return true
end

return M
