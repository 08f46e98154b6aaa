--- How a worker is: the answer to the question `status`. Memory, tasks and waits, what LuaJIT did, and the requests that have been running
--- for longest.
local ffi = require "ffi"
local abi = require "moongate.abi"
local await = require "moongate.await"
local json = require "moongate.json"
local programs = require "moongate.programs"
local questions = require "moongate.questions"
local request = require "moongate.request"
local traces = require "moongate.traces"

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

--- The answer.
function M.answer()
    local tasks, due = await.count()
    local list, count = running()
    return {
        lua_bytes = math.floor(collectgarbage("count") * 1024), resident_bytes = resident(), cpu_ms = math.floor(os.clock() * 1000),
        tasks = tasks, waits = math.max(0, tasks - due), jit = traces.numbers(), running = list, running_count = count,
        generations = #programs.list(),
    }
end

questions.on("status", M.answer)

return M
