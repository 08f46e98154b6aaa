--- What LuaJIT does with the code of a worker, counted as it tells it: traces compiled and given up, by route and by place, code memory,
--- flushes. In: the events that isolate.lua listens to; out: the answer to the question `jit`.
local abi = require "moongate.abi"
local json = require "moongate.json"
local programs = require "moongate.programs"
local questions = require "moongate.questions"

local M = {}

local PLACES_MAX, PLACES_TOLD, ROUTES_TOLD = 200, 20, 300
local CODE_MOST = 32 * 2 ^ 20 -- maxmcode of worker.lua

--- LuaJIT's codes (lj_traceerr.h) that say nothing against the code: an error on its way, a loop that is compiled by itself or was left early,
--- a recording tried again.
M.HARMLESS = { [0] = true, [1] = true, [6] = true, [8] = true, [9] = true, [29] = true }

local since = { traces = 0, aborts = 0, flushes = 0, code_bytes = 0 } -- traces and code: since the last flush
local places, place_count = {}, 0

--- LuaJIT's own words for why a trace was given up, when its tables are installed.
---@param code integer
---@param detail any
---@return string
function M.reason(code, detail)
    local ok, vmdef = pcall(require, "jit.vmdef")
    local text = ok and vmdef.traceerr[code]
    if not text then return "LuaJIT's trace error " .. tostring(code) end
    if text:find("bytecode", 1, true) and type(detail) == "number" then
        local name = vmdef.bcnames:sub(detail * 6 + 1, detail * 6 + 6):gsub("%s+$", "")
        return name == "FNEW" and "a function is made for each request" or "bytecode " .. name
    end
    return (text:gsub("%%[sd]", tostring(detail)))
end

--- The notes about the route of the request that runs: made at the first; nil: none runs, or it has no route.
local function route_notes()
    local border = abi.border
    if not border or border.current < 0 then return nil end
    local p = abi.C.mg_request(abi.worker, border.current)
    local living, number = programs.alive[p.program], p.match.route
    if not living or not living.by_number or not living.by_number[number] then return nil end
    local notes = living.jit or {}
    living.jit = notes
    notes[number] = notes[number] or { traces = 0, aborts = 0 }
    return notes[number]
end

local function note_abort(place, code, detail)
    since.aborts = since.aborts + 1
    local source = place.source or "?"
    local where, why = ("%s:%d"):format(source:gsub("^[@=]", ""), place.currentline or 0), M.reason(code, detail)
    local key = where .. "\0" .. why
    local noted = places[key]
    if not noted and place_count < PLACES_MAX then
        place_count = place_count + 1
        noted = { where = where, why = why, count = 0, is_own = source:sub(1, 1) ~= "@" }
        places[key] = noted
    end
    if noted then noted.count = noted.count + 1 end
    local notes = route_notes()
    if not notes then return end
    notes.aborts = notes.aborts + 1
    if source:sub(1, 1) == "@" or not notes.where then notes.where, notes.why = where, why end
end

--- An event of LuaJIT: "start", "stop", "abort", "flush".
---@param what string
---@param trace integer
---@param place? table of an abort
function M.note(what, trace, place, code, detail)
    if what == "stop" then
        since.traces = since.traces + 1
        since.code_bytes = since.code_bytes + #(require("jit.util").tracemc(trace) or "")
        local notes = route_notes()
        if notes then notes.traces = notes.traces + 1 end
    elseif what == "abort" and place and not M.HARMLESS[code] then
        note_abort(place, code, detail)
    elseif what == "flush" then
        since.flushes, since.traces, since.code_bytes = since.flushes + 1, 0, 0
        for _, living in pairs(programs.alive) do
            for _, notes in pairs(living.jit or {}) do notes.traces = 0 end
        end
    end
end

--- What happens to a route: run in C, moved behind a coroutine, compiled, given up, or not asked for often enough.
local function state_of(route, notes)
    if type(route.handler) ~= "function" then return "in C" end
    if route.isolated then return "apart" end
    if notes and notes.traces > 0 then return "compiled" end
    if notes and notes.aborts > 0 then return "interpreted" end
    return "not hot"
end

local function route_rows(living)
    local rows, notes = {}, living.jit or {}
    for number, route in pairs(living.by_number) do
        local noted = notes[number] or {}
        local state = state_of(route, notes[number])
        local is_apart = state == "apart"
        rows[#rows + 1] = {
            route = living.titles[number], where = living.places[number], state = state, traces = noted.traces or 0, aborts = noted.aborts or 0,
            at = (is_apart or state == "interpreted") and (is_apart and route.isolated_at or noted.where) or nil,
            why = (is_apart or state == "interpreted") and (is_apart and route.isolated_why or noted.why) or nil,
        }
    end
    table.sort(rows, function(a, b)
        local hot_a, hot_b = a.traces + a.aborts, b.traces + b.aborts
        if hot_a ~= hot_b then return hot_a > hot_b end
        return a.route .. a.where < b.route .. b.where
    end)
    for at = #rows, ROUTES_TOLD + 1, -1 do rows[at] = nil end
    return json.array(rows)
end

local function place_rows()
    local rows = {}
    for _, noted in pairs(places) do rows[#rows + 1] = noted end
    table.sort(rows, function(a, b) return a.count > b.count or a.count == b.count and a.where < b.where end)
    for at = #rows, PLACES_TOLD + 1, -1 do rows[at] = nil end
    return json.array(rows)
end

--- The numbers alone.
function M.numbers()
    return { on = jit.status(), traces = since.traces, aborts = since.aborts, flushes = since.flushes, code_bytes = since.code_bytes, code_most = CODE_MOST }
end

--- The answer to `jit`: the numbers, the places that were given up, the routes of the generation that serves.
function M.answer()
    local answer = M.numbers()
    answer.places, answer.routes = place_rows(), json.array {}
    for _, living in ipairs(programs.list()) do
        if living.state == "serving" then answer.routes = route_rows(living) end
    end
    return answer
end

questions.on("jit", M.answer)

return M
