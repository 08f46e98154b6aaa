--- Handlers that LuaJIT cannot compile (one that makes a closure per request, say) would keep the dispatcher's loop in the interpreter, and
--- after some twenty tries for good. Such a route is found by the traces that were given up in its code, moved behind a pooled coroutine,
--- which the compiler stitches over, and named once in the log with the line and the reason.
local abi = require "moongate.abi"
local await = require "moongate.await"
local loop = require "moongate.loop"
local alive = require("moongate.programs").alive
local traces = require "moongate.traces"

local M = {}

local create, resume = coroutine.create, coroutine.resume
local yield, WAIT = await.raw_yield, await.WAIT

local ABORTS_MAX = 5 -- traces given up in the code of a route before it is moved
local POOL_MAX = 256

local DONE = {}

--- What came out: a wait goes on upward and comes back; an error keeps the stack of the coroutine it was raised in.
local function finish(pool, co, ok, first, a, b, c)
    while ok and first == WAIT do
        yield(WAIT)
        ok, first, a, b, c = resume(co)
    end
    if not ok then
        await.keep_stack(first, co)
        error(first, 0)
    end
    if #pool < POOL_MAX then pool[#pool + 1] = co end
    return a, b, c
end

--- The same function behind a coroutine. Waits and errors pass through.
---@param fn fun(req, next): any, any, any
function M.wrap(fn)
    local pool = {}
    local function body(req, rest)
        while true do
            local a, b, c = fn(req, rest)
            req, rest = yield(DONE, a, b, c)
        end
    end
    return function(req, rest)
        local co = pool[#pool]
        if co then pool[#pool] = nil else co = create(body) end
        return finish(pool, co, resume(co, req, rest))
    end
end

local move, log -- what watch() was told

local function explain_move(generation, number, where, code, detail)
    local ok, done = pcall(move, generation, number)
    if not ok or not done then return end
    local route = generation.by_number[number]
    route.isolated_at, route.isolated_why = where, traces.reason(code, detail)
    log(("route %s (%s) cannot be compiled at %s (%s): it runs behind a coroutine, which costs it a little"):format(
        generation.titles[number], generation.places[number], where, route.isolated_why))
end

--- A trace was given up in a script's code while a request ran: counted for its route, in the generation that it was matched in.
local function count_abort(slot, place, code, detail)
    local p = abi.C.mg_request(abi.worker, slot)
    local generation, number = alive[p.program], p.match.route
    if not generation or not generation.by_number[number] then return end
    local aborts = generation.aborts
    aborts[number] = (aborts[number] or 0) + 1
    if aborts[number] ~= ABORTS_MAX then return end
    local where = ("%s:%d"):format(place.source:sub(2), place.currentline)
    loop.run_job(function() explain_move(generation, number, where, code, detail) end, -1)
end

--- Asks LuaJIT to tell when it gives up a trace. It knows one listener only: a script that attaches one of its own (jit.v, a profiler) is
--- listened to instead, so this comes before scripts are loaded.
function M.attach()
    local info = require("jit.util").funcinfo
    jit.attach(function(what, trace, fn, pc, code, detail)
        local place = what == "abort" and info(fn, pc) or nil
        traces.note(what, trace, place, code, detail)
        if not place or traces.HARMLESS[code] or not move then return end
        local border = abi.border
        if border.current < 0 then return end
        if not place.source or place.source:sub(1, 1) ~= "@" then return end -- not a script's code
        count_abort(border.current, place, code, detail)
    end, "trace")
end

--- Begins to watch. `mover(generation, route_number)` makes the dispatcher anew with that route isolated.
---@param mover fun(generation: moongate.Living, number: integer): boolean
---@param logger fun(text: string)
function M.watch(mover, logger)
    move, log = mover, logger
end

return M
