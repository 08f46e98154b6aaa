--- A worker's life in Lua: build the first generation, open the engine, run the start hooks, serve, take generations in and out as the
--- master says, drain, run the stop hooks.
local ffi = require "ffi"
local abi = require "moongate.abi"

local M = {}

--- Compiled code needs room: the defaults would flush a middling application again and again (LuaJIT's jit.opt).
local function tune()
    jit.opt.start("maxside=4000", "maxtrace=16000", "maxrecord=16000", "maxirconst=2000", "maxsnap=2000", "sizemcode=256", "maxmcode=32768")
end

--- math.random() begins elsewhere in each worker and after each start: LuaJIT's own beginning is always the same.
local function seed()
    local file = io.open("/dev/urandom", "rb")
    local text = file and file:read(6) or ""
    if file then file:close() end
    local number = os.time() + os.clock() * 1e6
    for at = 1, #text do number = (number * 256 + text:byte(at)) % 2 ^ 48 end
    math.randomseed(number)
end

-- Exit codes of the command line (src/proc/options.tbl.h).
local NO_START = 6

--- Tells the master why there will be no worker.
local function fail(message, code)
    abi.C.mg_end(abi.worker, message, #message)
    return code or NO_START
end

local function text_of(border)
    return border.text ~= nil and ffi.string(border.text, border.text_bytes) or nil
end

--- By enum mg_control.
local function orders()
    local C, await = abi.C, require "moongate.await"
    local ending, generation = require "moongate.ending", require "moongate.generation"
    local NO_DESCRIPTOR = 2 ^ 32 - 1
    local obey = {}
    obey[tonumber(C.MG_CONTROL_STOP)] = function(border)
        if border.argument == 0 then return ending.wait_no_more() end -- the time is over
        await.spawn(function() -- all connections have ended
            ending.wait_for_hooks()
            generation.stop_all()
        end, nil, nil, nil, false).on_end = function() C.mg_end(abi.worker, "", 0) end
    end
    obey[tonumber(C.MG_CONTROL_PREPARE)] = function(border)
        generation.prepare(border.argument, border.slot ~= NO_DESCRIPTOR and border.slot or nil)
    end
    obey[tonumber(C.MG_CONTROL_COMMIT)] = function(border) generation.commit(border.argument, text_of(border) or "") end
    obey[tonumber(C.MG_CONTROL_ABANDON)] = function(border) generation.abandon(border.argument) end
    obey[tonumber(C.MG_CONTROL_OVERDUE)] = function(border) await.cut(border.slot, border.argument) end
    obey[tonumber(C.MG_CONTROL_RETIRED)] = function(border) generation.retired(border.argument) end
    obey[tonumber(C.MG_CONTROL_ASK)] = function(border)
        require("moongate.questions").answer(border.argument, text_of(border) or "")
    end
    return obey
end

--- What C tells besides requests and wakes.
local function events()
    local C = abi.C
    local loop, generation, response = require "moongate.loop", require "moongate.generation", require "moongate.response"
    local obey = orders()
    local handlers = {}
    handlers[tonumber(C.MG_EVENT_FAIL)] = function(border)
        local slot, status, of = border.slot, border.result, border.argument
        local message = text_of(border)
        if C.mg_request(abi.worker, slot).generation ~= of then return end
        loop.run_job(function() response.failed_below(generation.app_of(slot), slot, status, message) end, slot)
    end
    handlers[tonumber(C.MG_EVENT_CONTROL)] = function(border)
        local order = obey[border.result]
        if order then order(border) end
    end
    return handlers
end

local function handle()
    local generation, loop, response = require "moongate.generation", require "moongate.loop", require "moongate.response"
    loop.handle {
        error = function(slot, err, stack)
            local app = generation.app_of(slot)
            local fine, message = pcall(response.raised, app, slot, err, stack)
            if not fine then response.give_up(app, slot, message) end
        end,
        task_error = function(task, _, traceback)
            response.log(3, ("a task%s failed: %s"):format(task.where and " spawned at " .. task.where or "",
                require("moongate.stack").clean(traceback)))
        end,
        given_up = function(task, traceback)
            local stacks, units = require "moongate.stack", require "moongate.units"
            response.log(3, stacks.clean(("%s: waits still, %s after it was asked to end: it is given up (limits.hook_time)\n%s"):format(
                task.title or "a task", units.show_duration(require("moongate.waits").hook_ms), traceback)))
        end,
        events = events(),
    }
end

--- Runs a worker. `boot`: pointer to the worker; options as the command line said them; `number` of the generation to serve; `sources`:
--- descriptor of a snapshot of its files, -1: the disk.
---@return integer exit_code
function M.main(boot, options, number, sources)
    tune()
    seed()
    abi.attach(boot)
    local generation, loop, response = require "moongate.generation", require "moongate.loop", require "moongate.response"
    require "moongate.holders"
    require "moongate.vitals"
    require("moongate.upstreams").answer_with(generation.serving)
    require("moongate.questions").on("explain", function(question)
        return require("moongate.explain").answer(generation.serving(), question)
    end)

    _G.coroutine = require("moongate.coroutines").wrap_library() -- for scripts; our own modules hold the plain one
    package.loaded.coroutine = _G.coroutine
    os.exit = require("moongate.evaluate").no_exit

    generation.begin(options)
    local first, message, code = generation.first(number, sources)
    if not first then return fail(message, code) end
    handle()
    require("moongate.isolate").watch(require("moongate.chain").isolate, function(text) response.log(2, text) end)
    local started = {}
    local task = require("moongate.await").spawn(function()
        started.problem = generation.start(first, abi.border.first == 1)
    end, nil, nil, nil, first)
    task.watched, task.on_end = true, function(ended)
        if not ended.ok then started.problem = generation.why_not_started(ended) end
    end
    loop.run_until(task)
    if loop.has_ended() then return 0 end
    if started.problem then return fail(started.problem) end
    generation.use(first)
    local rc = abi.C.mg_serve(abi.worker)
    if rc < 0 then return fail(("listening: error %d"):format(-rc)) end
    loop.run()
    return 0
end

return M
