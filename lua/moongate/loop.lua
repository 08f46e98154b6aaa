--- The root: leader and followers. One dispatcher leads and asks C for the next request; one that must wait yields whole and another leads.
--- When its wait has ended it is resumed, finishes its handler and leads itself. Nothing here runs for a request that never waits.
local abi = require "moongate.abi"
local await = require "moongate.await"
local memory = require "moongate.memory"

local M = {}

local C = abi.C
local explain = require("moongate.coroutines").explain
local create, resume, status = coroutine.create, coroutine.resume, coroutine.status

--- What a dispatcher yields when it steps aside.
M.ASIDE = setmetatable({}, { __tostring = function() return "moongate.aside" end })

local ASIDE, WAIT, DONE = M.ASIDE, await.WAIT, await.DONE

--- How many dispatchers are kept for the next who has to wait; so many waited at once before.
M.IDLE_MOST = 256

local idle = {}       -- dispatchers that stepped aside
local runner          -- { main = function(job), live = {busy=} }: what dispatchers run
local on_error        -- function(slot, err, stack): answers a request whose handler raised
local on_task_error   -- function(task, err, traceback)
local on_given_up     -- function(task, traceback)
local on_event = {}   -- by enum mg_event_kind
local ended = false

--- Any value as text, also one whose __tostring raises.
function M.shown(value)
    local ok, text = pcall(tostring, value)
    return ok and text or "a value that cannot be shown"
end

--- Puts the dispatcher of a generation into service. Those of the one before finish what they are doing and go.
---@param new { main: function, live: { busy: number } }
function M.use(new)
    new.live.busy = await.live.busy
    if runner then runner.live.busy = math.huge end
    runner = new
    await.live = new.live
    for at = 1, #idle do await.forget(idle[at]) end
    idle = {}
end

--- Tells what is done with errors and events.
---@param handlers { error: function, task_error: function, given_up: function?, events: table<integer, function> }
function M.handle(handlers)
    on_error, on_task_error, on_event = handlers.error, handlers.task_error, handlers.events
    on_given_up = handlers.given_up or function() end
end

local function new_dispatcher()
    local task = await.adopt(create(runner.main), "dispatcher")
    task.runner = runner
    return task
end

local function leader()
    local task = idle[#idle]
    if task then
        idle[#idle] = nil
        return task
    end
    return new_dispatcher()
end

local jobs, first_job, last_job = {}, 1, 0

--- Runs a function in a dispatcher, for a request (or -1), later in this turn; it may wait.
function M.run_job(job, slot)
    last_job = last_job + 1
    jobs[last_job] = { job, slot }
    await.live.busy = await.live.busy + 1
end

local function pop_job()
    local job = jobs[first_job]
    if not job then return nil end
    jobs[first_job] = nil
    first_job = first_job + 1
    if first_job > last_job then first_job, last_job = 1, 0 end
    await.live.busy = await.live.busy - 1
    return job
end

local function finish_task(task, ok, value)
    task.done, task.ok, task.value = true, ok, value
    await.forget(task)
    if ok then await.recycle(task.co) end
    task.co = nil -- with all that is on its stack: somebody may keep the handle
    if task.on_end then task.on_end(task) end
end

--- It was asked to end, and waits still: nobody waits for it any more. What is on its stack is garbage.
await.give_up = function(task)
    on_given_up(task, debug.traceback(task.co))
    task.waiting = false
    finish_task(task, false, await.CANCELLED)
end

--- What code that ran for too long has died of (src/abi/overrun.c): the client is told less than the log.
local function overran(failure)
    abi.border.overrun = 0
    return { status = 503, kind = "handler-time", message = "this request took too much time", overrun = M.shown(failure) }
end

--- What code that took too much memory has died of (src/abi/memory.c). Where LuaJIT has refused it there is no line; the stack has it.
local function starved(failure)
    return { status = 503, kind = "out-of-memory", message = "this request took too much memory", overrun = memory.text(failure) }
end

--- What a handler has died of whose time was over while it waited.
local function overdue(task, failure)
    if not task.overdue or failure ~= await.CANCELLED then return failure end
    return { status = 503, kind = "request-time", message = "this request took too much time",
        overrun = "waited until the time for its answer was over (limits.request_time)" }
end

--- A dispatcher came back: to wait, to step aside, or dead.
local function came_back(task, ok, what)
    if not ok then
        local slot = abi.border.current
        await.forget(task)
        local err, stack = explain(what), await.take_stack(what) or debug.traceback(task.co)
        if abi.border.overrun == 1 then
            err = overran(err)
        elseif memory.is_starved(err) then
            err = starved(err)
        else
            err = overdue(task, err)
        end
        if slot < 0 then error(("the dispatcher failed outside of a request: %s\n%s"):format(M.shown(err), stack), 0) end
        M.run_job(function() on_error(slot, err, stack) end, slot)
    elseif what == ASIDE then
        if task.runner == runner and #idle < M.IDLE_MOST then idle[#idle + 1] = task else await.forget(task) end
    elseif what ~= WAIT then
        await.forget(task) -- its loop has ended
        ended = true
    end
end

--- What the master calls a task that runs.
local function title_of(task)
    task.title = task.where and "a task spawned at " .. task.where or "work of the gateway"
    return task.title
end

local function step(task, job)
    local border = abi.border
    await.enter(task)
    if task.kind == "dispatcher" then
        border.bounded = 1
        local ok, what = resume(task.co, job)
        border.bounded = 0
        await.enter(nil)
        return came_back(task, ok, what)
    end
    border.current = -1
    local title = task.title or title_of(task)
    C.mg_beat_task(abi.worker, title, #title, task.most_ms or 0)
    local ok, what
    if task.fn then
        local fn = task.fn
        task.fn = nil
        if task.cancelled then -- before it began
            await.enter(nil)
            return finish_task(task, false, await.CANCELLED)
        end
        border.bounded = 1
        ok, what = resume(task.co, fn, task.a, task.b, task.c)
    else
        border.bounded = 1
        ok, what = resume(task.co)
    end
    border.bounded = 0
    await.enter(nil)
    if not ok then
        abi.border.overrun = 0
        what = explain(what)
        if memory.is_starved(what) then what = memory.text(what) end
        local traceback = what ~= await.CANCELLED and debug.traceback(task.co, M.shown(what)) or nil
        task.traceback = traceback
        finish_task(task, false, what)
        if what ~= await.CANCELLED and not task.watched then on_task_error(task, what, traceback) end
    elseif what == DONE then
        finish_task(task, true)
    elseif what ~= WAIT then
        error("a coroutine of the scheduler yielded something else: " .. M.shown(what) .. " " .. status(task.co))
    end
end

local function handle_event()
    local border = abi.border
    local kind = border.event
    border.event = 0
    if kind == 1 then -- MG_EVENT_WAKE, the commonest
        await.wake(border.token, border.result)
    elseif kind ~= 0 then
        on_event[kind](border)
    end
end

--- Those that wait to be resumed now. Those that come meanwhile have their turn after the next look at what the kernel has: tasks that
--- make tasks without end do not keep requests from being answered.
local function resume_waiters()
    for _ = 1, await.queued() do
        local task = await.pop()
        if not task then return end
        if task.kind == "dispatcher" then
            local slot = task.slot or -1
            abi.border.current = slot
            if slot >= 0 then C.mg_beat(abi.worker, slot) end
        end
        step(task)
        handle_event()
        if ended then return end
    end
end

--- Lets one lead until there is something else to do. While tasks wait to be resumed it does not sleep.
local function lead(job)
    local hidden = await.queued()
    await.live.busy = await.live.busy - hidden
    abi.border.hurried = hidden > 0 and 1 or 0
    step(leader(), job)
    await.live.busy = await.live.busy + hidden -- perhaps another one by now
    abi.border.hurried = 0
end

--- Runs until the worker has ended. Before a generation serves, jobs and tasks can run already.
function M.run()
    while not ended do
        resume_waiters()
        if ended then return end
        if abi.border.starved == 1 then memory.recover() end
        local job = pop_job()
        if job then
            abi.border.current = job[2]
            if job[2] >= 0 then C.mg_beat(abi.worker, job[2]) end
            lead(job[1])
        else
            lead()
        end
        handle_event()
    end
end

--- Runs everything until `task` is done; for what happens before the first request.
function M.run_until(task)
    while not task.done do
        resume_waiters()
        if task.done then return end
        if abi.border.starved == 1 then memory.recover() end
        abi.border.hurried = await.queued() > 0 and 1 or 0
        if C.mg_next(abi.worker) == -2 then
            ended = true
            return
        end
        handle_event()
    end
end

function M.has_ended()
    return ended
end

local OWN_MOST = 1024 -- questions, hooks, what builds and sweeps

--- What waits here, as rows of `moongate status`. All but the pools is of requests and tasks, which have bounds of their own.
---@return { name: string, now: number, most: number, beyond: string }[]
function M.queues()
    local requests = C.mg_settings(abi.worker).requests
    local dispatchers, own, coroutines = await.pools()
    local function row(name, now, most, beyond) return { name = name, now = now, most = most, beyond = beyond } end
    return {
        row("tasks of its own", own, requests + OWN_MOST, "none: each is of a request, or of an order of the master"),
        row("jobs", last_job - first_job + 1, 2 * requests, "none: each is of a request"),
        row("to be resumed", await.queued(), await.tasks_most + requests, "none: each is a task or a request, once"),
        row("dispatchers", dispatchers, requests + M.IDLE_MOST + 1, "none: each is in the middle of a request, or idle"),
        row("idle dispatchers", #idle, M.IDLE_MOST, "it is let go"),
        row("idle coroutines", coroutines, await.POOL_MOST, "it is let go"),
    }
end

return M
