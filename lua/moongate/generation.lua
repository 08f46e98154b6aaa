--- The life of a generation in this worker:
---
---   candidate --commit--> serving --the next one commits--> retiring --its last request has ended--> stopping --> over
---       \--------------------------------- abandon -------------------------------------------------/
---
--- Between stopping and over it is "ending" while tasks of it are left that were asked to end.
---
--- A candidate is built beside the one that serves and changes nothing of it. A commit swaps between two requests and cannot fail. A
--- retiring one finishes its requests on its own code, then runs its stop hooks, and lets go of what it held.
local ffi = require "ffi"
local abi = require "moongate.abi"
local await = require "moongate.await"
local chain = require "moongate.chain"
local evaluate = require "moongate.evaluate"
local handles = require "moongate.handles"
local isolate = require "moongate.isolate"
local loading = require "moongate.loading"
local paths = require "moongate.paths"
local programs = require "moongate.programs"
local response = require "moongate.response"
local snapshot = require "moongate.snapshot"
local traces = require "moongate.traces"
local units = require "moongate.units"
local waits = require "moongate.waits"

local M = {}

local C = abi.C
local log = response.log

local options         -- as the command line said them
local serving, candidate = false, false
local wanted = false  -- number of the candidate that the master waits for

--- ---- building ----

local PATIENCE = 0.0005 -- seconds of work before requests are answered

--- A function that lets everything else run when it is called and the time is up.
local function pauser()
    local since = os.clock()
    return function()
        if os.clock() - since < PATIENCE then return end
        await.breathe()
        since = os.clock()
    end
end

--- The same while files load: in the middle of a script's code, which cannot wait by itself.
local function resting(task)
    local pause = pauser()
    return function()
        if not await.is_yieldable() then return end -- called from a function of C, such as table.sort
        await.enter(task)
        pause()
        await.enter(nil)
    end
end

--- Evaluates the files. Their code cannot wait meanwhile, and tasks that are begun belong to it.
---@param number integer
---@param given? moongate.Snapshot
---@param beside boolean another one serves: it goes on meanwhile, and tasks begin when all is loaded
---@return moongate.Living? generation
---@return string? message
function M.evaluate(number, given, beside)
    local made = { number = number, tasks = {}, state = "candidate", aborts = {}, since = 0 }
    local task = await.current()
    local held = beside and {} or nil
    await.enter(nil)
    isolate.attach() -- a listener that an older generation's script has put in its place would keep that one alive
    local fields = { owner = made, held = held, rest = beside and resting(task) or nil }
    local ok, evaluation = xpcall(evaluate.command, response.traced, options, given, fields)
    loading.finish()
    await.enter(task)
    await.begin(held or {})
    if not ok or not evaluation.config then
        await.cancel_all(made, true)
        return nil, ok and evaluation.problems:text() or evaluation
    end
    made.config, made.app = evaluation.config, evaluation.apps
    made.read = evaluation.config.debug and evaluation.read or nil -- for pages about errors
    made.app.folder = paths.folder_of(evaluation.files[1] or "")
    made.app.held = handles.new()
    return made
end

--- Compiles its routes and opens what they name. true; or nil and a message.
---@param generation moongate.Living
---@param pause? fun() called again and again on the way
function M.build(generation, pause)
    programs.add(generation)
    return chain.build(generation, pause)
end

--- The task that runs a hook is called so, by the log and by `moongate generations`.
local function name_hook(kind, hook)
    await.current().title = ("%s at %s"):format(kind, hook.where)
end

--- What hooks are stopped for.
local function late_text()
    return ("waited until its time of %s was over (limits.hook_time)"):format(units.show_duration(waits.hook_ms))
end

--- A start hook fails by raising, by returning `nil, message`, or by waiting for too long. The place is told once.
local function start_failure(hook, ok, result, why, is_late)
    if is_late then return ("%s: on_start: %s"):format(hook.where, late_text()) end
    local message = ok and tostring(why) or tostring(result)
    if message:match("^[^%s:]+:%d+: ") then return message:gsub("\n", "\n    ", 1):gsub("^[^\n]*", "%0 (in on_start)", 1) end
    return ("%s: on_start: %s"):format(hook.where, message)
end

--- Runs its start hooks, in the calling task. nil; or what went wrong.
---@param generation moongate.Living
---@param with_once boolean also those that run once for all workers
---@return string? problem
function M.start(generation, with_once)
    for _, hook in ipairs(generation.app.start) do
        if not hook.once or with_once then
            name_hook("on_start", hook)
            local ok, result, why, is_late = await.within(hook.fn, response.traced)
            if not ok or is_late or result == nil and why ~= nil then return start_failure(hook, ok, result, why, is_late) end
            generation.started = true -- what one has opened is closed by on_stop, also when the next one fails
        end
    end
    generation.started = true
    return nil
end

--- What ended the task that runs start hooks: its time, or what stopped it besides (the memory that Lua may have, say).
---@param task moongate.Task
---@return string
function M.why_not_started(task)
    local why = task.value ~= await.CANCELLED and tostring(task.value) or late_text()
    return ("%s: %s"):format(task.title or "on_start", why)
end

--- ---- ending ----

local function run_stop(generation)
    if not generation.started then return end
    generation.started = false
    for _, hook in ipairs(generation.app.stop) do
        name_hook("on_stop", hook)
        local ok, message, _, is_late = await.within(hook.fn, response.traced)
        if is_late then message = late_text() end
        if not ok or is_late then log(3, ("on_stop at %s: %s"):format(hook.where, message)) end
    end
end

local SWEEP_STEP = 64 -- of the collector, in its own measure of KB

local CYCLES = 2 -- the first may have begun before: what was left in the middle of it, it does not find

local sweeping, cycles_left = false, 0

--- What a generation leaves is collected little by little, so that no request waits for it.
local function sweep()
    while cycles_left > 0 do
        await.breathe()
        if collectgarbage("step", SWEEP_STEP) then cycles_left = cycles_left - 1 end
    end
    sweeping = false
end

--- It serves nobody any more.
local function let_go(generation)
    generation.state, generation.when_alone = "over", nil
    if generation.app then handles.close(generation.app.held) end
    if generation.routes then C.mg_routes_drop(generation.routes) end
    generation.routes = nil
    programs.remove(generation)
    cycles_left = CYCLES
    if not sweeping then
        sweeping = true
        await.spawn(sweep, nil, nil, nil, false)
    end
end

local ENDS = { stopping = true, ending = true, over = true }

--- Its last request has ended, or it never had one: the hooks, and then the end.
local function stop(generation)
    if ENDS[generation.state] then return end
    generation.state = "stopping"
    await.cancel_all(generation, true)
    local task = await.spawn(run_stop, generation, nil, nil, generation)
    task.steady = true
    task.on_end = function() -- also when it was given up
        await.cancel_all(generation, true)
        generation.state, generation.when_alone = "ending", let_go
        if not next(generation.tasks) then let_go(generation) end
    end
end

--- C has told that the last request of retired routes has ended.
---@param program integer
function M.retired(program)
    local generation = programs.alive[program]
    if generation and generation.state == "retiring" then stop(generation) end
end

local function retire(generation)
    generation.state = "retiring"
    await.cancel_all(generation, false)
    C.mg_routes_retire(abi.worker, generation.routes)
end

local LOOK_AGAIN_MS = 2

--- The worker ends: the stop hooks of every generation that has not run them, the oldest first, and those that run are waited for. In a task.
function M.stop_all()
    if candidate then await.cancel_all(candidate, true) end
    for _, generation in ipairs(programs.list()) do
        while generation.state == "stopping" do await.breathe(LOOK_AGAIN_MS) end
        run_stop(generation)
    end
end

--- ---- taking into service ----

local LEVELS = { debug = 0, info = 1, warn = 2, error = 3 }

local function or_never(ms) return ms > 0 and ms or math.huge end

--- The settings of a generation become those of the worker.
function M.apply_settings(config)
    local worker = abi.worker
    local settings = C.mg_settings(worker)
    for _, row in ipairs(abi.settings_rows()) do settings[row.field] = config.settings[row.field] end
    await.tasks_most = config.settings.tasks
    waits.task_ms, waits.hook_ms = or_never(config.settings.task_wait_ms), or_never(config.settings.hook_ms)
    local server = config.server or ""
    C.mg_server_field(worker, server, #server)
    local trusted = table.concat(config.trusted_proxies, "\n")
    C.mg_trust(worker, trusted, #trusted)
    abi.border.debug = config.debug and 1 or 0
    C.mg_log_format(worker, config.log.format == "json" and 1 or 0, config.debug and 0 or LEVELS[config.log.level])
end

-- Code memory is given back by a flush alone, and what an older generation had compiled goes with it; a flush after each commit would have
-- all of our own compiled anew, too.
local TRACES_KEPT, COMMITS_KEPT = 256, 16

local commits = 0

--- A script that listens to the compiler is told of traces in our place: then commits alone are counted.
local function flush_code()
    commits = commits + 1
    if commits < COMMITS_KEPT and traces.numbers().traces < TRACES_KEPT then return end
    commits = 0
    jit.flush()
end

local function adapt(config)
    M.apply_settings(config)
    if C.mg_adapt(abi.worker) == 0 then return end
    local key = ffi.string(abi.border.text, abi.border.text_bytes)
    log(2, ("%s: there is no memory for so many; the old limit stays until the worker starts anew: restart the gateway, or ask for less"):format(key))
end

--- The generation that serves from now on.
---@param generation moongate.Living
function M.use(generation)
    serving = generation
    generation.state, generation.since = "serving", math.floor(C.mg_unix_time(abi.worker))
    chain.use(generation)
end

--- ---- what the master asks for ----

local function say(kind, number, text)
    C.mg_say(abi.worker, kind, number, text or "", text and #text or 0)
end

--- The worker's own candidate is given up; its tasks end, and its stop hooks run when its start hooks did.
local function give_up()
    local generation = candidate
    candidate, wanted = false, false
    if not generation then return end
    generation.given_up = true
    await.cancel_all(generation, true)
    if not generation.building then stop(generation) end
end

local function failed(number, message)
    say(C.CONTROL_FAILED, number, message)
    if wanted == number then give_up() end
end

local SWEEP_TURNS = 200

--- What the generations before have left goes first: however fast reloads follow each other, memory holds one candidate at most.
local function let_sweep()
    for _ = 1, SWEEP_TURNS do
        if not sweeping then return end
        await.breathe()
    end
end

--- The steps of building, with a turn between them in which requests are answered.
local function build_candidate(number, sources)
    local given, message
    if sources then
        given, message = snapshot.read(sources)
        C.mg_file_close(sources)
        if not given then return message end
        await.breathe()
    end
    let_sweep()
    if wanted ~= number then return nil end -- given up before there was anything to give up
    local generation
    generation, message = M.evaluate(number, given, true)
    if not generation then return message end
    if wanted ~= number then -- given up while it was loaded
        await.cancel_all(generation, true)
        return nil
    end
    candidate, generation.building = generation, true
    await.breathe()
    local ok
    ok, message = M.build(generation, pauser())
    generation.building = false
    if generation.given_up then
        stop(generation)
        return nil
    end
    if not ok then return message end
    await.breathe()
    if generation.given_up then return nil end
    return nil, generation
end

--- What is loaded, and start hooks, may keep the worker busy for as long as at its start (load_ms of src/proc/limits.c), whatever handlers may.
local LOAD_MS = 10000

local function prepare(number, sources)
    local ok, problem, generation = xpcall(build_candidate, response.traced, number, sources)
    if not ok and candidate and candidate.number == number then candidate.building = false end -- memory was refused, say: the master is not to wait
    if problem then return failed(number, problem) end
    if not generation then return end
    local task = await.spawn(function()
        local wrong = M.start(generation, false)
        if generation.given_up then return end
        if wrong then return failed(number, wrong) end
        generation.prepared = true
        say(C.CONTROL_PREPARED, number)
    end, nil, nil, nil, generation)
    task.watched, task.most_ms = true, LOAD_MS -- cancelling it is no error
    task.on_end = function(ended)
        if not ended.ok and not generation.given_up then failed(number, M.why_not_started(ended)) end
    end
end

--- Builds a candidate out of a descriptor's sources (nil: the disk). Says PREPARED or FAILED.
---@param number integer
---@param sources? integer
function M.prepare(number, sources)
    give_up()
    if not serving then
        if sources then C.mg_file_close(sources) end
        return failed(number, "this worker has not started yet: reload again in a moment")
    end
    wanted = number
    await.spawn(prepare, number, sources, nil, false).most_ms = LOAD_MS
end

--- The candidate serves from now on, and accepts on the sockets named; the one before retires.
---@param number integer
---@param doors string
function M.commit(number, doors)
    local new, old = candidate, serving
    if not new or new.number ~= number or not new.prepared then
        return say(C.CONTROL_FAILED, number, ("generation %d is not prepared in this worker"):format(number))
    end
    candidate, wanted = false, false
    adapt(new.config)
    M.use(new)
    if doors ~= "" then C.mg_accept_on(abi.worker, doors, #doors) end
    flush_code()
    C.mg_ready(abi.worker, number)
    retire(old)
end

--- The candidate is forgotten.
---@param number integer
function M.abandon(number)
    if wanted == number then give_up() end
end

--- ---- the first ----

-- Exit codes of the command line (src/proc/options.tbl.h).
local NO_RING, NO_START = 5, 6
local ENOMEM = -12

--- The generation that a worker begins with, built and ready to serve; or nil, a message and an exit code. Opens the engine. Its start hooks
--- are still to be run.
---@param number integer
---@param sources integer descriptor of a snapshot of its files, -1: the disk
---@return moongate.Living? first
---@return string? message
---@return integer? code
function M.first(number, sources)
    local given, message, first, ok
    if sources >= 0 then
        given, message = snapshot.read(sources)
        C.mg_file_close(sources)
        if not given then return nil, message end
    end
    first, message = M.evaluate(number, given, false)
    if not first then return nil, message end
    M.apply_settings(first.config)
    local opened = C.mg_open(abi.worker, first.config.engine)
    if opened < 0 then return nil, ffi.string(abi.border.text, abi.border.text_bytes), opened ~= ENOMEM and NO_RING or NO_START end
    ok, message = M.build(first)
    if not ok then return nil, message end
    return first
end

--- The generation that serves; false before the first does.
---@return moongate.Living|false
function M.serving()
    return serving
end

--- The app whose code a request runs. That of one which is over already is the serving one: only its log line needs it.
---@param slot integer
function M.app_of(slot)
    return (programs.alive[C.mg_request(abi.worker, slot).program] or serving).app
end

--- Called once.
---@param said table what the command line said
function M.begin(said)
    options = said
end

return M
