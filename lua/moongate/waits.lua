--- The limits of waiting. Every wait is of a kind, and each kind has an end of its own, whoever waits; and what is asked to end, or a hook
--- whose time is over, is ended when it does not. One timer looks after all of them: it runs while there is something to look after.
local abi = require "moongate.abi"

local M = {}

local C = abi.C
local min, max = math.min, math.max

--- What ends a wait of each kind when nobody else does.
M.KINDS = {
    sleep = "its own time",
    timeout = "its own time",             -- mg.timeout waits for what it runs
    join = "limits.task_wait",            -- for the end of another task
    several = "limits.task_wait",         -- mg.all, any, race
    line = "limits.task_wait",            -- of a channel, a semaphore, a mutex, a group
    save = "limits.task_wait",            -- req:save, for the piece that is written
    body = "limits.body_time",            -- for the client's content
    output = "limits.write_stall",        -- for the client to take some of an answer
    server = "limits.upstream_head",      -- for a response, or more of it (upstream_between), or for it to take some of a request (upstream_send)
    sent = "limits.write_stall",          -- for the last byte of an answer, before on_done
    disk = "the kernel",                  -- which reads what it was lent: nobody may let go of it before
    turn = "the next turn",               -- the gateway's own work gives way
    hooks = "drain",                      -- the end of the worker waits for hooks that run
}

--- The token of the timer: no task has this index (await.lua).
M.LOOK = 2 ^ 21

--- The settings limits.task_wait and limits.hook_time, in ms; math.huge: none.
M.task_ms, M.hook_ms = math.huge, math.huge

local OFTEN_MS = 10 -- from one look to the next, at least

local timer, look_at = nil, math.huge

--- Something is to be ended at that time, or up to OFTEN_MS later.
---@param due number of mg_now()
function M.watch(due)
    if due >= look_at then return end
    if timer then C.mg_timer_cancel(abi.worker, timer) end
    timer, look_at = C.mg_timer(abi.worker, max(due - C.mg_now(abi.worker), OFTEN_MS), M.LOOK), due
    if timer < 0 then timer, look_at = nil, math.huge end -- the next one who waits tries again
end

--- When something is to be done about a task, and what: "timeout", "late" or "give up".
local function due_of(task)
    local due, what = math.huge, nil
    if task.waiting and task.until_ms then due, what = task.until_ms, "timeout" end
    if task.deadline and task.deadline < due then due, what = task.deadline, "late" end
    if task.waiting and task.give_up_ms and task.give_up_ms < due then due, what = task.give_up_ms, "give up" end
    return due, what
end

--- What has waited for too long: calls end_it(task, what) for each, where `what` is "timeout" (this wait is over), "late" (the time of the
--- hook that it runs is over) or "give up" (it was asked to end, has had its time for that, and waits still).
---@param tasks table
---@param end_it fun(task: moongate.Task, what: string)
function M.look(tasks, end_it)
    local now, next_due, over = C.mg_now(abi.worker), math.huge, {}
    timer, look_at = nil, math.huge
    for _, task in pairs(tasks) do
        local due, what = math.huge, nil
        if type(task) == "table" then due, what = due_of(task) end
        if due <= now then over[#over + 1] = { task, what } else next_due = min(next_due, due) end
    end
    for _, one in ipairs(over) do end_it(one[1], one[2]) end -- may make tasks
    if next_due < math.huge then M.watch(next_due) end
end

--- How many tasks wait, by kind, and for how long the one that has waited for longest.
---@param tasks table
---@return table<string, { count: integer, longest_ms: number }>
function M.report(tasks)
    local now, rows = C.mg_now(abi.worker), {}
    for _, task in pairs(tasks) do
        if type(task) == "table" and task.waiting then
            local row = rows[task.what] or { count = 0, longest_ms = 0 }
            rows[task.what] = row
            row.count, row.longest_ms = row.count + 1, max(row.longest_ms, math.floor(now - task.since))
        end
    end
    return rows
end

return M
