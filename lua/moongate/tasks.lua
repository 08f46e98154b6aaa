--- Waiting together: sleeping, tasks of one's own, several at once, time limits, timers. In: functions and
--- durations; out: what the functions returned. Everything here is made of await's tokens; nothing here yields
--- by itself.
---
--- Failures: a function that *returns* `nil, message` has failed, and all/any/race/timeout return that. One
--- that *raises* has an error in it: that is raised again in whoever waits for it, after its traceback was
--- logged. Whoever is cancelled while it waits cancels the tasks it waits for in all, any, race and timeout; a
--- task made by spawn, after and every lives on its own, until a reload puts another generation in the place of
--- the one whose code it runs: then it is cancelled, unless the request that began it is still being answered.
local abi = require "moongate.abi"
local await = require "moongate.await"
local caller = require "moongate.caller"
local stacks = require "moongate.stack"
local units = require "moongate.units"
local waits = require "moongate.waits"

local M = {}

local C = abi.C
local CANCELLED = await.CANCELLED

--- Durations that were read before. Their number is bounded, because a client may have a say in them.
local known_ms, known_count = {}, 0
local KNOWN_MAX = 256

local function ms_of(name, duration)
    local ms = known_ms[duration]
    if ms then return ms end
    local message
    ms, message = units.duration(duration)
    if not ms then caller.raise(("%s: %s"):format(name, message)) end
    if type(duration) == "string" then
        if known_count == KNOWN_MAX then known_ms, known_count = {}, 0 end
        known_ms[duration], known_count = ms, known_count + 1
    end
    return ms
end

local function check_function(name, fn)
    if type(fn) ~= "function" then caller.raise(("%s: expected a function, got %s"):format(name, type(fn))) end
end

local function pack(...) return { n = select("#", ...), ... } end

--- Starts a timer for the running task's next wait: a handle, or nil, message, code.
local function start_timer(ms, token)
    local timer = C.mg_timer(abi.worker, ms, token)
    if timer < 0 then return abi.failed(timer, "timer") end
    return timer
end

local function sleep_ms(ms)
    local timer, message, code = start_timer(ms, await.token())
    if not timer then return nil, message, code end
    local _, why = await.wait_raw("sleep")
    if why then
        C.mg_timer_cancel(abi.worker, timer)
        error(CANCELLED, 0)
    end
    return true
end

--- The longest that the running task waits for others, unless it says: what mg.timeout around it was given, else limits.task_wait.
local function longest_ms()
    return await.current().wait_most or waits.task_ms
end

--- What a wait for others gives when its time is over.
local function timed_out(what, ms)
    return nil, ("%s: waited %s (limits.task_wait)"):format(what, units.show_duration(ms)), "timeout"
end

--- Waits that long. Other requests are served meanwhile.
---@param duration number|string seconds, or "300ms", "10s", "5m"
---@return true? slept
---@return string? message the worker has no timer left
---@return integer? code
function M.sleep(duration)
    return sleep_ms(ms_of("mg.sleep", duration))
end

---@class moongate.TaskHandle
---@field ended boolean
---@field cancelled boolean it was cancelled before its end
---@field where string where it was started
local Handle = {}
Handle.__index = Handle

local function keep(handle, ...)
    handle.results = pack(...)
end

local function run(handle)
    local args = handle.args
    keep(handle, handle.fn(unpack(args, 1, args.n)))
end

--- Errors that are answers (mg.raise) rather than mistakes.
local function is_answer(failure)
    return type(failure) == "table" and (rawget(failure, "status") ~= nil or rawget(failure, "kind") ~= nil) -- no code of its runs here
end

--- Called by the scheduler, outside of any task.
local function on_end(task)
    local handle = task.handle
    handle.ended, handle.failed = true, not task.ok
    if handle.failed then
        handle.failure = task.value
        handle.cancelled = task.value == CANCELLED
    end
    local group = handle.group
    local is_awaited = handle.joiners ~= nil or group ~= nil and not group.done and is_answer(handle.failure)
    task.watched = is_awaited
    for _, token in ipairs(handle.joiners or {}) do await.wake(token, true) end
    if group and not group.done then group.child_ended(group, handle) end
end

local TooMany = { __tostring = function(failure) return failure.overrun end }

--- Raises when there is no room for so many more tasks: in a handler that is 503, with the line in the log.
local function check_room(name, where, count)
    if await.task_count + count <= await.tasks_most then return end
    error(setmetatable({ status = 503, kind = "too-many-tasks", message = "too much is being done at once",
        overrun = ("%s: %s: this worker has %d tasks, of at most %d (limits.tasks)"):format(where, name, await.task_count, await.tasks_most) }, TooMany), 0)
end

--- `most_ms`: the time limit that it runs under, if there is one.
local function start(fn, where, group, most_ms, ...)
    local handle = setmetatable({
        fn = fn, args = pack(...), where = where, group = group, ended = false, failed = false, cancelled = false, results = nil,
        failure = nil, joiners = nil,
    }, Handle)
    local task = await.spawn(run, handle)
    await.count_as_script(task)
    task.handle, task.where, task.on_end, task.wait_most = handle, where, on_end, most_ms
    handle.task = task
    return handle
end

--- What a task's function returned, or its error raised again.
local function results_of(handle)
    if handle.failed then error(handle.failure, 0) end
    return unpack(handle.results, 1, handle.results.n)
end

local function remove(list, value)
    for at = #list, 1, -1 do
        if list[at] == value then table.remove(list, at) end
    end
end

--- Waits for the end. false: it takes longer than that.
local function await_end(handle, ms)
    if handle.task == await.current() then caller.raise("join: a task cannot wait for its own end") end
    handle.joiners = handle.joiners or {}
    local token = await.token()
    handle.joiners[#handle.joiners + 1] = token
    local _, why = await.wait_raw("join", ms)
    if why and not handle.ended then remove(handle.joiners, token) end
    if why == "cancelled" then error(CANCELLED, 0) end
    return why == nil
end

--- Waits for the end of the task, at most so long (limits.task_wait unless told). What its function returned; or nil, message, code when
--- it raised (code "error", or the status given to mg.raise), was cancelled (code "cancelled") or takes longer (code "timeout"; it runs on).
---@param duration? number|string
function Handle:join(duration)
    local ms = duration ~= nil and ms_of("join", duration) or longest_ms()
    if not self.ended and not await_end(self, ms) then return timed_out("join", ms) end
    if not self.failed then return results_of(self) end
    if self.cancelled then return nil, "cancelled", "cancelled" end
    local failure = self.failure
    if is_answer(failure) then return nil, failure.message or tostring(failure.kind or failure.status), failure.status or failure.kind end
    return nil, tostring(failure), "error"
end

--- Asks the task to end: its present or next wait raises. A task that has not begun never does.
function Handle:cancel()
    await.cancel(self.task)
end

--- Runs fn(…) beside the running task, beginning later in this turn. An error in it is logged, with where it
--- was spawned, unless someone is waiting in join().
---@param fn function
---@return moongate.TaskHandle
function M.spawn(fn, ...)
    check_function("mg.spawn", fn)
    local where = caller.where()
    check_room("mg.spawn", where, 1)
    return start(fn, where, nil, nil, ...)
end

--- ---- several at once ----

--- The functions of a call that takes `f, g, …` or `{ f, g, … }`, and whether it was a list.
local function functions_of(name, first, ...)
    local is_list = type(first) == "table" and select("#", ...) == 0
    local functions = is_list and first or { first, ... }
    local count = is_list and #first or select("#", ...) + 1
    for i = 1, count do check_function(name, functions[i]) end
    if count == 0 and name ~= "mg.all" then caller.raise(name .. ": expected at least one function") end
    return functions, is_list
end

--- Its function raised, or returned nil and a message.
local function has_failed(handle)
    local results = handle.results
    return handle.failed or (results[1] == nil and results[2] ~= nil)
end

local function decide(group, handle)
    group.done, group.decided = true, handle
    await.wake(group.token, true)
end

--- Runs the functions as tasks and waits until `child_ended` has decided. Those still running then are cancelled. nil, message, code: that
--- takes too long.
local function run_group(name, functions, child_ended)
    local where, most_ms = caller.where(), longest_ms()
    check_room(name, where, #functions)
    local group = { token = await.token(), left = #functions, child_ended = child_ended, done = false, decided = nil, children = {} }
    for i, fn in ipairs(functions) do group.children[i] = start(fn, where, group, await.current().wait_most) end
    local _, why = await.wait_raw("several", most_ms)
    group.done = true
    for _, child in ipairs(group.children) do child:cancel() end
    if why == "cancelled" then error(CANCELLED, 0) end
    if why then return timed_out(name, most_ms) end
    return group
end

local function all_ended(group, handle)
    group.left = group.left - 1
    if has_failed(handle) or group.left == 0 then decide(group, handle) end
end

--- Runs all of them at once. `mg.all(f, g)` returns the first result of each, in order; `mg.all { f, g }`
--- returns these as a list (with `n`). The first failure cancels the others and is returned (nil, message,
--- code) or raised again.
---@return any ...
function M.all(first, ...)
    local functions, is_list = functions_of("mg.all", first, ...)
    if #functions == 0 then return { n = 0 } end
    local group, message, code = run_group("mg.all", functions, all_ended)
    if not group then return nil, message, code end
    if has_failed(group.decided) then return results_of(group.decided) end
    local results = { n = #group.children }
    for i, child in ipairs(group.children) do results[i] = child.results[1] end
    if is_list then return results end
    return unpack(results, 1, results.n)
end

local function any_ended(group, handle)
    group.left = group.left - 1
    if not has_failed(handle) or group.left == 0 then decide(group, handle) end
end

--- Runs all of them at once; the results of the first that succeeds, the others are cancelled. When all fail:
--- the last failure.
---@return any ...
function M.any(first, ...)
    local functions = functions_of("mg.any", first, ...)
    local group, message, code = run_group("mg.any", functions, any_ended)
    if not group then return nil, message, code end
    return results_of(group.decided)
end

--- Runs all of them at once; what the first to end returned or raised, the others are cancelled.
---@return any ...
function M.race(first, ...)
    local functions = functions_of("mg.race", first, ...)
    local group, message, code = run_group("mg.race", functions, decide)
    if not group then return nil, message, code end
    return results_of(group.decided)
end

--- ---- time ----

--- fn(…) with a time limit: what it returned; or nil, "timeout", "timeout" after the time, when its task is cancelled.
---@param duration number|string
---@param fn function
---@return any ...
function M.timeout(duration, fn, ...)
    local ms = ms_of("mg.timeout", duration)
    check_function("mg.timeout", fn)
    local where = caller.where()
    check_room("mg.timeout", where, 1)
    local token = await.token()
    local timer, message, code = start_timer(ms, token)
    if not timer then return nil, message, code end
    local group = { token = token, child_ended = decide, done = false, decided = nil }
    local child = start(fn, where, group, ms, ...)
    local _, why = await.wait_raw("timeout")
    group.done = true
    if child.ended or why then C.mg_timer_cancel(abi.worker, timer) end
    if why then
        child:cancel()
        error(CANCELLED, 0)
    end
    if child.ended then return results_of(child) end
    child:cancel()
    return nil, "timeout", "timeout"
end

local function run_after(ms, fn, ...)
    local ok, message = sleep_ms(ms)
    if not ok then error(message, 0) end
    return fn(...)
end

--- Runs fn(…) after that time, unless the handle is cancelled before.
---@param duration number|string
---@param fn function
---@return moongate.TaskHandle
function M.after(duration, fn, ...)
    local ms = ms_of("mg.after", duration)
    check_function("mg.after", fn)
    local where = caller.where()
    check_room("mg.after", where, 1)
    return start(run_after, where, nil, nil, ms, fn, ...)
end

--- The traceback of an error, taken where it happened; a cancellation passes as it is.
local function trace(failure)
    if failure == CANCELLED then return failure end
    return stacks.clean(debug.traceback(stacks.shown(failure), 2))
end

local function log_failure(where, text)
    text = ("mg.every at %s: %s"):format(where, text)
    C.mg_log(abi.worker, C.MG_LOG_ERROR, text, #text)
end

--- The first beat after now in the rhythm of `due`: beats that were missed are left out.
local function next_due(due, ms)
    local now = C.mg_now(abi.worker)
    due = due + ms
    if due > now then return due end
    return now + ms - (now - due) % ms
end

local function run_every(ms, fn, where)
    local due = C.mg_now(abi.worker) + ms
    while true do
        local ok, message = sleep_ms(due - C.mg_now(abi.worker))
        if not ok then error(message, 0) end
        local fine, failure = xpcall(fn, trace)
        if failure == CANCELLED and not fine then error(CANCELLED, 0) end
        if not fine then log_failure(where, failure) end
        due = next_due(due, ms)
    end
end

--- Runs fn() again and again at that distance, the first time after it. It never overlaps itself: while it runs
--- longer, beats are left out, and the rhythm stays that of the first (each timer fires within a millisecond or
--- the turn's length after its beat; that does not add up). An error in it is logged and the next beat comes as
--- ever. Cancel the handle to stop.
---@param duration number|string above 0
---@param fn function
---@return moongate.TaskHandle
function M.every(duration, fn)
    local ms = ms_of("mg.every", duration)
    check_function("mg.every", fn)
    if ms <= 0 then caller.raise("mg.every: expected a duration above 0") end
    local where = caller.where()
    check_room("mg.every", where, 1)
    return start(run_every, where, nil, nil, ms, fn, where)
end

return M
