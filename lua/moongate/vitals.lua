--- How a worker is: the answer to the question `status`. Memory, tasks and waits, what LuaJIT did, and the requests that have been running
--- for longest.
local ffi = require "ffi"
local abi = require "moongate.abi"
local await = require "moongate.await"
local json = require "moongate.json"
local loop = require "moongate.loop"
local programs = require "moongate.programs"
local questions = require "moongate.questions"
local generation = require "moongate.generation"
local upstreams = require "moongate.upstreams"
local request = require "moongate.request"
local traces = require "moongate.traces"
local waits = require "moongate.waits"

local M = {}

local C = abi.C
local RUNNING_TOLD, PATH_MAX = 10, 100
local ENDED = 4 -- MG_REQ_ENDED

local function row_of(p, now)
    local number = p.head.method
    local method = number ~= C.METHOD_OTHER and request.METHODS[number] or ffi.string(p.bytes + p.head.method_text.at, p.head.method_text.bytes)
    local living = programs.alive[p.program]
    return {
        method = method, path = ffi.string(p.path, math.min(p.path_bytes, PATH_MAX)), ms = math.max(0, math.floor(now - p.started_ms)),
        route = living and living.titles and living.titles[p.match.route] or nil,
    }
end

--- Requests that are not answered yet, the oldest first, and how many there are.
local function running()
    local rows, now = {}, C.mg_now(abi.worker)
    for slot = 0, C.mg_request_top(abi.worker) - 1 do
        local p = C.mg_request(abi.worker, slot)
        if C.mg_request_lives(abi.worker, slot) == 1 and p.flags % (2 * ENDED) < ENDED and p.path_bytes > 0 then
            rows[#rows + 1] = { p = p, at = p.started_ms }
        end
    end
    local count = #rows
    table.sort(rows, function(a, b) return a.at < b.at end)
    for at = #rows, RUNNING_TOLD + 1, -1 do rows[at] = nil end
    for at, row in ipairs(rows) do rows[at] = row_of(row.p, now) end
    return json.array(rows), count
end

--- Kilobytes of this process in memory.
local function resident()
    local file = io.open("/proc/self/status")
    local text = file and file:read("*a") or ""
    if file then file:close() end
    return (tonumber(text:match("VmRSS:%s*(%d+)")) or 0) * 1024
end

local bound = ffi.new("struct mg_bound")

--- What grows with the work: how much there is of it, how much there may be, and what happens to the next one.
---@return { name: string, now: number, most: number, beyond: string }[]
local function queues()
    local rows = {}
    while C.mg_bound(abi.worker, #rows, bound) == 1 do
        rows[#rows + 1] = { name = ffi.string(bound.name), beyond = ffi.string(bound.beyond), now = bound.now, most = bound.most }
    end
    for _, row in ipairs(loop.queues()) do rows[#rows + 1] = row end
    return json.array(rows)
end

--- Who waits, by kind, and what ends each.
local function waiting()
    local rows, report = {}, await.report()
    for kind, ends in pairs(waits.KINDS) do
        local row = report[kind] or { count = 0, longest_ms = 0 }
        local most = ends == "limits.task_wait" and waits.task_ms < math.huge and waits.task_ms or nil
        rows[#rows + 1] = { kind = kind, count = row.count, longest_ms = row.longest_ms, ends = ends, most_ms = most }
    end
    table.sort(rows, function(a, b) return a.kind < b.kind end)
    return json.array(rows)
end

--- The answer.
function M.answer()
    local serving = generation.serving()
    local tasks, due = await.count()
    local list, count = running()
    return {
        lua_bytes = math.floor(collectgarbage("count") * 1024), resident_bytes = resident(), cpu_ms = math.floor(os.clock() * 1000),
        tasks = tasks, waits = math.max(0, tasks - due), jit = traces.numbers(), running = list, running_count = count,
        generations = #programs.list(), queues = queues(), waiting = waiting(), upstreams = serving and upstreams.all(serving) or json.array {},
    }
end

questions.on("status", M.answer)

return M
