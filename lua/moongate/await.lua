--- Waiting: the only module that yields. A task is a coroutine that the root scheduler (loop.lua) resumes: a dispatcher that is in the
--- middle of a request, or one that was spawned. A wait has a token; whoever ends the wait names it. A token that comes late misses.
local abi = require "moongate.abi"
local loading = require "moongate.loading"
local programs = require "moongate.programs"
local waits = require "moongate.waits"

local M = {}

local C = abi.C
local yield, create, yieldable = coroutine.yield, coroutine.create, coroutine.isyieldable
local floor = math.floor

--- First yielded value of a wait: what a wrapped coroutine library must pass on upward.
M.WAIT = setmetatable({}, { __tostring = function() return "moongate.wait" end })
--- Given down to a wait that could not be passed upward.
M.REFUSED = setmetatable({}, { __tostring = function() return "moongate.refused" end })
--- The error that a cancelled task's wait raises.
M.CANCELLED = setmetatable({}, { __tostring = function() return "cancelled" end })

--- The plain yield: scripts see a wrapped library.
M.raw_yield = yield

--- Raised when a request cannot be kept while its handler waits.
local NO_ROOM = { status = 503, message = "there is no memory to let this request wait (limits.buffers)" }

local WAIT, REFUSED, CANCELLED = M.WAIT, M.REFUSED, M.CANCELLED
local INDEX_RANGE = 2 ^ 21

local tasks, free = {}, {} -- by index; free indexes
local queue, first, last = {}, 1, 0 -- tasks to resume, in order
local current
local idle_coroutines = {}

--- Raised while tasks wait to be resumed: the leader steps aside then. One table per generation (chain.lua).
M.live = { busy = 0 }

---@class moongate.Task
---@field co thread
---@field index integer
---@field epoch integer the number of its present wait
---@field slot? integer the request that it is in the middle of
---@field waiting boolean
---@field done boolean
---@field ok? boolean
---@field value? any
---@field traceback? string
---@field cancelled boolean
---@field counted? boolean it is one of a script
---@field what? string of which kind its wait is (waits.lua)
---@field since? number when it began to wait, of mg_now()
---@field until_ms? number when that wait is over
---@field wait_most? number the longest of its waits for others: what mg.timeout was given; nil: limits.task_wait
---@field deadline? number when the hook that it runs has to be over
---@field late? boolean it has been cancelled for that
---@field give_up_ms? number when it is no longer waited for: it was asked to end before
---@field owner? moongate.Living the generation whose code it runs
---@field of_slot? integer the request that it was begun for, and
---@field of_turn? integer the generation of its slot
---@field overdue? integer the generation of the slot whose request has taken too much time
---@field steady? boolean it is not cancelled with its generation

--- How many tasks of scripts there are, and may be (limits.tasks). Those of the gateway itself are as many as requests and orders of the master.
M.tasks_most = math.huge
M.task_count = 0
local own_count = 0

local function count_tasks(task, change)
    if not task.counted then
        own_count = own_count + change
        return
    end
    M.task_count = M.task_count + change
    if abi.stats then abi.stats.tasks = M.task_count end -- a candidate has none
end

--- This task is one of a script.
function M.count_as_script(task)
    count_tasks(task, -1)
    task.counted = true
    count_tasks(task, 1)
end

--- A task around a coroutine. `kind` "dispatcher" or "task".
function M.adopt(co, kind)
    local index = free[#free]
    if index then free[#free] = nil else index = #tasks + 1 end
    if index >= INDEX_RANGE then error("too many tasks", 2) end
    local task = {
        co = co, kind = kind, index = index, epoch = (tasks[index] or 0) + 1, waiting = false, done = false, cancelled = false,
        slot = nil, queued = false, value = nil, early = nil, has_early = false,
    }
    tasks[index] = task
    if kind == "task" then count_tasks(task, 1) end
    return task
end

--- The task has ended: its index may be used again, with later epochs.
function M.forget(task)
    tasks[task.index] = task.epoch
    if task.kind == "task" then count_tasks(task, -1) end
    free[#free + 1] = task.index
    local owner = task.owner
    if not owner then return end
    owner.tasks[task] = nil
    if owner.when_alone and not next(owner.tasks) then owner.when_alone(owner) end
end

--- The running task.
---@return moongate.Task
function M.current()
    return current
end

--- For loop.lua: which task runs now.
function M.enter(task)
    current = task
end

--- Names the next wait of the running task.
---@return number
function M.token()
    local task = current
    if not task then error("nothing can wait here: this does not run in a task", 3) end
    task.epoch = task.epoch + 1
    task.has_early = false
    return task.epoch * INDEX_RANGE + task.index
end

local function push(task)
    task.queued = true
    last = last + 1
    queue[last] = task
    M.live.busy = M.live.busy + 1
end

--- For loop.lua: the next task to resume, or nil.
function M.pop()
    if first > last then return nil end
    local task = queue[first]
    queue[first] = nil
    first = first + 1
    if first > last then first, last = 1, 0 end
    M.live.busy = M.live.busy - 1
    task.queued = false
    return task
end

--- How many tasks wait to be resumed.
function M.queued()
    return last - first + 1
end

--- Ends the wait that has this token, with a value. Late and double wakes miss.
function M.wake(token, value)
    local index = token % INDEX_RANGE
    local task = tasks[index]
    if type(task) ~= "table" or task.epoch ~= floor(token / INDEX_RANGE) or task.done or task.queued then
        if token == waits.LOOK then M.look() end
        return false
    end
    task.value = value
    if task.waiting then
        task.waiting = false
        push(task)
    else
        task.early, task.has_early = value, true -- it has named its wait and not begun it yet
    end
    return true
end

--- Does a task still wait for this token?
function M.is_waiting(token)
    local task = tasks[token % INDEX_RANGE]
    return type(task) == "table" and task.waiting and task.epoch == floor(token / INDEX_RANGE)
end

--- Has the request that this dispatcher is in the middle of taken too much time? Then every wait of it raises.
local function is_overdue(task)
    local slot = abi.border.current
    return slot >= 0 and C.mg_request(abi.worker, slot).generation == task.overdue
end

local function check_cancelled(task)
    if task.overdue then
        if is_overdue(task) then return true end
        task.overdue = nil
    end
    if task.cancelled and not task.cancel_told then
        task.cancel_told = true
        return true
    end
    return false
end

local function refuse_wait()
    error("cannot wait inside a callback of a C function (table.sort, string.gsub, …); wait before it and use the result there", 0)
end

--- It waits from now on: `most_ms` is the longest.
local function begin_wait(task, kind, most_ms)
    local now = C.mg_now(abi.worker)
    if not waits.KINDS[kind] then error(("a wait of no known kind: %s"):format(tostring(kind)), 3) end
    task.what, task.since = kind, now
    task.until_ms = most_ms and most_ms < math.huge and now + most_ms or nil
    if task.until_ms then waits.watch(task.until_ms) end
    if task.deadline then waits.watch(task.deadline) end
    task.waiting = true
end

--- Waits for the token named last. The value given to wake(); or nil, "cancelled" when the task is cancelled: clean up, then raise; or
--- nil, "timeout" after `most_ms`.
---@param kind string one of waits.KINDS
---@param most_ms? number nil: what is waited for has an end of its own
function M.wait_raw(kind, most_ms)
    local task = current
    if check_cancelled(task) then return nil, "cancelled" end
    if task.has_early then
        task.has_early = false
        return task.early
    end
    if task.kind == "dispatcher" then
        local slot = abi.border.current
        task.slot = slot
        if slot >= 0 and C.mg_park(abi.worker, slot) < 0 then error(NO_ROOM, 0) end
    end
    -- A failed yield must not leave a task that runs on and counts as waiting: it would be resumed in the middle of something else.
    if not yieldable() then refuse_wait() end
    begin_wait(task, kind, most_ms)
    if yield(WAIT) == REFUSED then
        task.waiting = false
        refuse_wait()
    end
    if check_cancelled(task) then return nil, "cancelled" end
    if task.timed_out then
        task.timed_out = nil
        return nil, "timeout"
    end
    return task.value
end

--- Waits; a cancelled task raises CANCELLED from here.
---@param kind string
function M.wait(kind)
    local value, why = M.wait_raw(kind)
    if why then error(CANCELLED, 0) end
    return value
end

--- What a pooled coroutine does: one job after the other.
local function work(fn, a, b, c)
    while true do
        fn(a, b, c)
        fn, a, b, c = yield(M.DONE)
    end
end
M.DONE = setmetatable({}, { __tostring = function() return "moongate.done" end })

--- How many coroutines are kept for the next tasks.
M.POOL_MOST = 256

--- For loop.lua: a coroutine whose job has ended without an error.
function M.recycle(co)
    if #idle_coroutines < M.POOL_MOST then idle_coroutines[#idle_coroutines + 1] = co end
end

--- A task belongs to the generation, and to the request, of whoever begins it.
local function inherit(task)
    local maker = current
    if maker and maker.kind == "task" then
        task.owner, task.of_slot, task.of_turn = maker.owner, maker.of_slot, maker.of_turn
    elseif abi.border and abi.border.current >= 0 then
        local p = C.mg_request(abi.worker, abi.border.current)
        task.owner, task.of_slot, task.of_turn = programs.alive[p.program], p.slot, p.generation
    else
        task.owner = loading.now and loading.now.owner or false
    end
end

--- Runs fn(a, b, c) in a task of its own, beginning later in this turn. `owner`: the generation that it belongs to, false: none; nil: that
--- of the task or request which calls.
---@return moongate.Task
function M.spawn(fn, a, b, c, owner)
    local co = idle_coroutines[#idle_coroutines]
    if co then idle_coroutines[#idle_coroutines] = nil else co = create(work) end
    local task = M.adopt(co, "task")
    task.fn, task.a, task.b, task.c = fn, a, b, c
    if owner == nil then inherit(task) else task.owner = owner end
    if task.owner then task.owner.tasks[task] = true end
    local held = loading.now and loading.now.held
    if held then held[#held + 1] = task else push(task) end
    return task
end

--- Begins tasks that were held while files loaded.
---@param held moongate.Task[]
function M.begin(held)
    for _, task in ipairs(held) do push(task) end
end

local stack_of, stack

--- An error on its way out of an inner coroutine: its stack is told instead of the outer one.
function M.keep_stack(failure, co)
    if failure == CANCELLED then return end
    stack_of, stack = failure, debug.traceback(co)
end

--- The stack kept for this error, once; or nil.
function M.take_stack(failure)
    local kept = stack_of == failure and stack or nil
    stack_of, stack = nil, nil
    return kept
end

--- Ends its present wait without a value.
local function interrupt(task)
    if not task.waiting then return end
    task.waiting = false
    task.epoch = task.epoch + 1
    push(task)
end

--- Asks a task to end: its present or next wait raises CANCELLED. If it still waits limits.hook_time later it is given up.
function M.cancel(task)
    if task.done or task.cancelled then return end
    task.cancelled = true
    if waits.hook_ms < math.huge then
        task.give_up_ms = C.mg_now(abi.worker) + waits.hook_ms
        waits.watch(task.give_up_ms)
    end
    interrupt(task)
end

--- For loop.lua: what is done with a task that is no longer waited for.
M.give_up = function() end

local function end_it(task, what)
    if what == "give up" then return M.give_up(task) end
    if what == "late" then
        task.deadline, task.late = nil, true
        return M.cancel(task)
    end
    task.timed_out = true
    interrupt(task)
end

--- The timer of waits.lua: ends what has waited for too long.
function M.look()
    waits.look(tasks, end_it)
end

--- Runs fn(…) in this task, as a hook that has limits.hook_time to be over. As xpcall; the third result: was its time over?
---@param fn function
---@param handler function
---@return boolean ok
---@return any result
---@return any why what fn returned second
---@return boolean is_late
function M.within(fn, handler, ...)
    local task = current
    if waits.hook_ms < math.huge then task.deadline = C.mg_now(abi.worker) + waits.hook_ms end
    local ok, result, why = xpcall(fn, handler, ...)
    local is_late = task.late or false
    task.deadline = nil
    if is_late then -- what comes after it has its own time
        task.late, task.cancelled, task.cancel_told, task.give_up_ms = nil, false, nil, nil
    end
    return ok, result, why, is_late
end

--- The request of a slot, in this generation of it, has taken too much time: its present and all later waits raise CANCELLED.
function M.cut(slot, generation)
    for _, task in pairs(tasks) do
        if type(task) == "table" and task.kind == "dispatcher" and task.waiting and task.slot == slot then
            task.overdue = generation
            return interrupt(task)
        end
    end
end

local ENDED = 4 -- MG_REQ_ENDED

--- Is the request that a task was begun for in the middle of its answer?
---@param task moongate.Task
local function is_of_request(task)
    if not task.of_slot then return false end
    local p = C.mg_request(abi.worker, task.of_slot)
    return p.generation == task.of_turn and p.flags % (2 * ENDED) < ENDED
end

--- Asks the tasks of a generation to end. `all` false: but for those of requests that are being answered.
---@param generation moongate.Living
---@param all boolean
function M.cancel_all(generation, all)
    for task in pairs(generation.tasks) do
        if not task.steady and (all or not is_of_request(task)) then M.cancel(task) end
    end
end

--- May what runs give way here? Not below a function of C, such as table.sort.
M.is_yieldable = yieldable

--- Lets everything else run, and goes on in a later turn.
---@param ms? number no earlier than after so long
function M.breathe(ms)
    local token = M.token()
    if C.mg_timer(abi.worker, ms or 0, token) < 0 then return end
    M.wait("turn")
end

--- Who waits, by kind.
function M.report()
    return waits.report(tasks)
end

--- How many dispatchers there are, tasks that are not of scripts, and coroutines without a task.
function M.pools()
    return #tasks - #free - M.task_count - own_count, own_count, #idle_coroutines
end

--- How many tasks there are, and how many of them wait to be resumed.
function M.count()
    return #tasks - #free, last - first + 1
end

return M
