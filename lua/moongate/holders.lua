--- What keeps a generation alive: the answer to the question `generations`. Requests and tasks are named as a person would look for them.
local ffi = require "ffi"
local abi = require "moongate.abi"
local json = require "moongate.json"
local programs = require "moongate.programs"
local questions = require "moongate.questions"
local request = require "moongate.request"

local M = {}

local C = abi.C
local HOLDERS_MAX = 20
local ENDED = 4 -- MG_REQ_ENDED

local function request_text(p, now)
    local number = p.head.method
    local method = number ~= C.METHOD_OTHER and request.METHODS[number] or ffi.string(p.bytes + p.head.method_text.at, p.head.method_text.bytes)
    local path = p.path_bytes > 0 and ffi.string(p.path, math.min(p.path_bytes, 200)):gsub("%c", "?") or "?"
    local over = p.flags % (2 * ENDED) >= ENDED and " (answered; its last bytes or its on_done hooks)" or ""
    return ("%s %s since %d s%s"):format(method, path, math.max(0, (now - p.started_ms) / 1000), over)
end

local function add_requests(generation, holders, now)
    for slot = 0, C.mg_request_top(abi.worker) - 1 do
        if #holders >= HOLDERS_MAX then return end
        local p = C.mg_request(abi.worker, slot)
        if p.program == generation.program and C.mg_request_lives(abi.worker, slot) == 1 then holders[#holders + 1] = request_text(p, now) end
    end
end

local function task_text(task, now)
    local name = task.where and "task spawned at " .. task.where or task.title or "a hook that is running"
    if not task.cancelled then return name end
    if not task.give_up_ms then return name .. " (asked to end)" end
    return ("%s (asked to end; given up in %d s)"):format(name, math.max(0, math.ceil((task.give_up_ms - now) / 1000)))
end

local function add_tasks(generation, holders, now)
    for task in pairs(generation.tasks) do
        if #holders >= HOLDERS_MAX then return end
        holders[#holders + 1] = task_text(task, now)
    end
end

local function count_tasks(generation)
    local count = 0
    for _ in pairs(generation.tasks) do count = count + 1 end
    return count
end

--- One row per generation that is alive, the oldest first.
---@return { number: integer, state: string, since: integer, requests: integer, tasks: integer, holders: string[] }[]
function M.rows()
    local rows, now = {}, C.mg_now(abi.worker)
    for at, generation in ipairs(programs.list()) do
        local holders = {}
        add_requests(generation, holders, now)
        add_tasks(generation, holders, now)
        rows[at] = {
            number = generation.number, state = generation.state, since = generation.since, tasks = count_tasks(generation),
            requests = generation.routes and C.mg_routes_requests(generation.routes) or 0, holders = json.array(holders),
        }
    end
    return json.array(rows)
end

questions.on("generations", M.rows)

return M
