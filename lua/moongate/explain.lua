--- What would become of a request, and why: the route that wins and those that lose, predicates, captures, filters, the handler, its limits,
--- the upstream and whose turn it is there. The request is parsed and routed by the gate itself (gate/trial.h), so this never says
--- anything else than what would happen; only predicates are run, nothing that answers.
local ffi = require "ffi"
local abi = require "moongate.abi"
local caller = require "moongate.caller"
local chain = require "moongate.chain"
local descriptor = require "moongate.descriptor"
local fits = require "moongate.fits"
local handles = require "moongate.handles"
local near = require "moongate.near"
local pattern = require "moongate.pattern"
local request = require "moongate.request"
local schema = require "moongate.schema"
local steer = require "moongate.steer"

local M = {}

local C = abi.C
local NOT_FOUND, METHOD_WRONG = C.MG_ROUTE_NOT_FOUND, C.MG_ROUTE_METHOD
local LOSERS_MAX = 20

---@class moongate.Question
---@field method string
---@field target string "/path?query" or "http://host/path"
---@field fields? { [1]: string, [2]: string }[] names and values of field lines

--- ---- the request ----

local function has_field(fields, name)
    for _, field in ipairs(fields or {}) do
        if field[1]:lower() == name then return true end
    end
    return false
end

--- The head as a client would send it. Host is that of the target's URL, or of the fields, or "localhost".
---@param question moongate.Question
---@return string? head
---@return string? message what is wrong with the question
function M.head(question)
    local host, target = question.target:match("^https?://([^/?#]*)(.*)$")
    target = target or question.target
    if target == "" or target:byte() == 63 then target = "/" .. target end
    target = target:gsub("#.*$", "") -- no client sends it
    local lines = { ("%s %s HTTP/1.1\r\n"):format(question.method, target) }
    if not has_field(question.fields, "host") then lines[2] = ("Host: %s\r\n"):format(host or "localhost") end
    for _, field in ipairs(question.fields or {}) do
        if (field[1] .. field[2]):find("[\r\n]") then return nil, "a field has no line ends" end
        lines[#lines + 1] = ("%s: %s\r\n"):format(field[1], field[2])
    end
    return table.concat(lines) .. "\r\n"
end

--- ---- the choice ----

--- As the dispatcher chooses: candidates by precedence, the routes of each in the order written, the first whose predicate says yes.
local function choose(generation, slot, req, predicates)
    local p, skip = req._p, 0
    while true do
        local number = p.match.route
        local group = generation.groups[number]
        if number == NOT_FOUND or number == METHOD_WRONG or not group then return nil end
        for at, route in ipairs(group) do
            p.match.route = group.numbers[at]
            if not route.when then return route end
            local ok, said = pcall(route.when, req)
            local predicate = { route = pattern.label(route), where = route.where, of = route }
            predicates[#predicates + 1] = predicate
            if not ok then
                predicate.problem = tostring(said)
                return nil, predicate.problem
            end
            predicate.said = said ~= nil and said ~= false
            if said then return route end
        end
        skip = skip + 1
        C.mg_rematch(abi.worker, slot, skip)
    end
end

--- ---- those that lose ----

local function segments(text)
    local list = {}
    for segment in text:gmatch("/([^/]*)") do list[#list + 1] = segment end
    return list
end

local function rank(segment)
    local first = segment and segment:byte()
    return first == 42 and 3 or first == 58 and 2 or 1 -- "*", ":"
end

--- Most routes differ in their first segment: that is seen without asking the router.
local function may_fit(route, first)
    local own = route.pattern:match("^/([^/]*)")
    return own == nil or rank(own) > 1 or own == first or own:find("[^%w%-_.~]") ~= nil or first:find("%", 1, true) ~= nil
end

local function takes_method(route, method)
    if not route.methods then return true end
    for _, name in ipairs(route.methods) do
        if name == method or (name == "GET" and method == "HEAD") then return true end
    end
    return false
end

--- Where two patterns that fit the same path part: the later is less specific there.
local function less_specific(loser, winner)
    local a, b = segments(loser.pattern), segments(winner.pattern)
    for at = 1, math.max(#a, #b) do
        if rank(a[at]) ~= rank(b[at]) then return ("%q is less specific than %q"):format(a[at] or "", b[at] or "") end
    end
    return nil
end

local function why_not(route, winner, context)
    if not pattern.host_within(context.host, route.host) then return "is for host " .. route.host end
    if not takes_method(route, context.method) then return "is for " .. table.concat(route.methods, ", ") end
    if context.said[route] == false then return "its `when` said no" end
    if not winner then return "its `when` was not reached" end
    if winner.host ~= route.host and pattern.host_within(winner.host, route.host) then
        return ("is for %s; a route of %s comes first"):format(route.host or "any host", winner.host)
    end
    local specific = less_specific(route, winner)
    if specific then return specific end
    if winner.methods and not route.methods then return "is for any method; one that names the method comes first" end
    return "stands after it at the same path"
end

local function losers_of(app, winner, context, p)
    local list, others = {}, 0
    local first = ffi.string(p.path, p.path_bytes):match("^/([^/]*)") or ""
    for _, route in ipairs(app.routes) do
        if route ~= winner then
            if may_fit(route, first) and fits.path(route, p) then
                if #list < LOSERS_MAX then
                    list[#list + 1] = { route = pattern.label(route), where = route.where, why = why_not(route, winner, context) }
                else
                    others = others + 1
                end
            else
                others = others + 1
            end
        end
    end
    return list, others
end

--- What a path that nothing fits was probably meant to be.
local function near_routes(app, path)
    local route = near.routes(app.routes, path, 1)[1]
    return route and { route = pattern.label(route), where = route.where } or nil
end

--- ---- what the winner does ----

--- How it is said by what servers are chosen: "hash of header x-user".
local function balance_text(upstream)
    if upstream.balance ~= "hash" then return upstream.balance end
    return "hash of " .. (upstream.key and "the function at " .. caller.definition(upstream.key) or upstream.hash)
end

local function upstream_of(app, upstream, req)
    local handle, message = handles.upstream(app.held, upstream)
    if not handle then return { name = upstream.name, problem = message } end
    local servers, key = {}, upstream.key and steer.key(req, upstream) or ""
    if key ~= "" then C.mg_forward_to(abi.worker, req._slot, "", 0, key, #key, "", 0) end
    while #servers < 64 do
        if C.mg_upstream_server(abi.worker, handle, #servers, req._slot) < 0 then break end
        servers[#servers + 1] = { address = ffi.string(abi.border.text, abi.border.text_bytes), aside = abi.border.result == 1 }
    end
    return { name = upstream.name, balance = balance_text(upstream), servers = servers }
end

local function handler_of(route)
    local handler = route.handler
    if not descriptor.is(handler) then return { kind = "function", where = caller.definition(handler) } end
    return { kind = handler.kind, text = descriptor.describe(handler), where = route.where }
end

local function limits_of(route)
    local settings = C.mg_settings(abi.worker)
    local limits = { body = settings.body_bytes, handler_time = settings.handler_ms, handler_grace = settings.grace_ms, request_time = settings.request_ms }
    for key, value in pairs(route.options or {}) do
        if type(value) == "number" or type(value) == "string" then limits[key] = value end
    end
    limits.name = nil
    return limits
end

local function captures_of(generation, req)
    local list, params = {}, req.params
    for at, name in ipairs(generation.names[req._p.match.route] or {}) do list[at] = { name = name, value = params[name] } end
    return list
end

local function filters_of(app, route, req)
    local list = {}
    for at, filter in ipairs(chain.filters_of(app, route)) do
        list[at] = { where = filter.where, pattern = filter.pattern, host = filter.host, runs = not filter.test or filter.test(req) }
    end
    return list
end

local KEYS = { [404] = "not-found", [405] = "method-not-allowed" }

local function error_handler(app, status)
    local handlers = app.error_handlers
    local handler = handlers[KEYS[status]] or handlers[status] or handlers["*"]
    return handler and handler.where or nil
end

--- ---- the whole ----

--- Is the content longer than anything takes that the request may come to? It is refused before anything runs.
local function is_too_long(generation, req)
    local most = generation.limits[req._p.match.route] or -1
    return (req.content_length or 0) > (most < 0 and C.mg_settings(abi.worker).body_bytes or most)
end

local function explain_routed(generation, slot, answer)
    local app, req, predicates = generation.app, request.objects[slot], {}
    local p = req._p
    answer.request = { method = req.method, host = req.host, path = req.path, target = req.target }
    local too_long = is_too_long(generation, req)
    local winner, problem = choose(generation, slot, req, predicates)
    local context = { host = req.host, method = req.method, said = {} }
    for _, predicate in ipairs(predicates) do
        context.said[predicate.of], predicate.of = predicate.said, nil
    end
    answer.predicates = predicates
    if problem then
        answer.status, answer.why = 500, problem
    elseif winner then
        answer.route = { route = pattern.label(winner), pattern = winner.pattern, host = winner.host, methods = winner.methods, where = winner.where,
            name = winner.options and winner.options.name }
        answer.captures, answer.handler, answer.limits = captures_of(generation, req), handler_of(winner), limits_of(winner)
        if descriptor.is(winner.handler) and winner.handler.kind == "proxy" then answer.upstream = upstream_of(app, winner.handler.upstream, req) end
        too_long = too_long or (req.content_length or 0) > answer.limits.body
    elseif p.match.route == METHOD_WRONG then
        answer.allow = fits.allowed(p)
        answer.status = req.method == "OPTIONS" and 204 or 405
        answer.why = answer.status == 204 and "OPTIONS is answered by the gateway" or "no route at this path takes " .. req.method
    else
        answer.status, answer.why = 404, "no route fits"
        answer.near = near_routes(app, req.path)
    end
    if too_long then
        answer.status, answer.why = 413, "the content is longer than this resource takes"
        answer.allow, answer.near = nil, nil
    end
    if answer.status and answer.status >= 400 then answer.error_handler = error_handler(app, answer.status) end
    answer.filters = (problem or too_long) and {} or filters_of(app, winner, req)
    answer.losers, answer.others = losers_of(app, winner, context, p)
    request.reset(req)
end

--- Explains one request. Call it in a task: predicates may wait.
---@param generation moongate.Living in service in this worker
---@param question moongate.Question
---@return table answer { request?, route?, captures?, filters?, handler?, limits?, upstream?, status?, why?, losers, others, … }
function M.answer(generation, question)
    local answer = { method = question.method, target = question.target }
    local head, message = M.head(question)
    if not head then return { problem = message } end
    local slot = C.mg_trial_begin(abi.worker, head, #head)
    if slot < 0 then
        answer.status, answer.why, answer.refused = -slot, ffi.string(abi.border.text, abi.border.text_bytes), true
        return answer
    end
    local ok, failure = pcall(explain_routed, generation, slot, answer)
    C.mg_trial_end(abi.worker, slot)
    if not ok then error(failure, 0) end
    return answer
end

return M
