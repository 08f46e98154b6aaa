--- A worker's life in Lua: evaluate the config, open the engine, run the start hooks, serve, drain, run the stop hooks.
local abi = require "moongate.abi"

local M = {}

--- Compiled code needs room: the defaults would flush a middling application again and again (LuaJIT's jit.opt).
local function tune()
    jit.opt.start("maxside=4000", "maxtrace=16000", "maxrecord=16000", "maxirconst=2000", "maxsnap=2000", "sizemcode=256", "maxmcode=32768")
end

-- Exit codes of the command line (src/proc/options.tbl.h).
local NO_RING, NO_START = 5, 6
local ENOMEM = -12

--- Tells the master why there will be no worker.
local function fail(message, code)
    abi.C.mg_end(abi.worker, message, #message)
    return code or NO_START
end

--- The settings of a config into the worker.
function M.apply_settings(config)
    local C, worker = abi.C, abi.worker
    local settings = C.mg_settings(worker)
    for _, row in ipairs(abi.settings_rows()) do settings[row.field] = config.settings[row.field] end
    local server = config.server or ""
    C.mg_server_field(worker, server, #server)
    abi.border.debug = config.debug and 1 or 0
    local levels = { debug = 0, info = 1, warn = 2, error = 3 }
    C.mg_log_format(worker, config.log.format == "json" and 1 or 0, config.debug and 0 or levels[config.log.level])
end

local function run_start(app)
    local traced = require("moongate.response").traced
    for _, hook in ipairs(app.start) do
        if not hook.once or abi.border.first == 1 then
            local ok, message = xpcall(hook.fn, traced)
            if not ok then return ("on_start at %s: %s"):format(hook.where, message) end
        end
    end
    return nil
end

local function run_stop(app)
    local response = require "moongate.response"
    for _, hook in ipairs(app.stop) do
        local ok, message = xpcall(hook.fn, response.traced)
        if not ok then response.log(3, ("on_stop at %s: %s"):format(hook.where, message)) end
    end
end

--- What C tells besides requests and wakes.
local function events(generation)
    local C = abi.C
    local await, loop, response = require "moongate.await", require "moongate.loop", require "moongate.response"
    local handlers = {}
    handlers[tonumber(C.MG_EVENT_FAIL)] = function(border)
        local slot, status, of = border.slot, border.result, border.argument
        local message = border.text ~= nil and require("ffi").string(border.text, border.text_bytes) or nil
        if C.mg_request(abi.worker, slot).generation ~= of then return end
        loop.run_job(function() response.failed_below(generation.app, slot, status, message) end, slot)
    end
    handlers[tonumber(C.MG_EVENT_CONTROL)] = function(border)
        local what, argument = border.result, border.argument
        if what == C.MG_CONTROL_STOP and argument == 1 then -- all connections have ended
            await.spawn(function()
                response.wait_for_hooks()
                run_stop(generation.app)
                C.mg_end(abi.worker, "", 0)
            end)
        elseif what == C.MG_CONTROL_STOP then -- the time is over
            response.wait_no_more()
        end
    end
    return handlers
end

--- Runs a worker. `boot`: pointer to the worker; options as the command line said them; `sources`: descriptor of a snapshot, -1: the disk.
---@return integer exit_code
function M.main(boot, options, _, sources)
    tune()
    abi.attach(boot)
    local evaluate = require "moongate.evaluate"
    local await, loop, chain, response = require "moongate.await", require "moongate.loop", require "moongate.chain", require "moongate.response"

    _G.coroutine = require("moongate.coroutines").wrap_library() -- for scripts; our own modules hold the plain one
    package.loaded.coroutine = _G.coroutine

    require("moongate.isolate").attach()
    local given, unread
    if sources >= 0 then given, unread = require("moongate.snapshot").read(sources) end
    if unread then return fail(unread) end
    local evaluation = evaluate.command(options, given)
    if not evaluation.config then return fail(evaluation.problems:text()) end
    M.apply_settings(evaluation.config)
    local opened = abi.C.mg_open(abi.worker)
    if opened < 0 then
        return fail(require("ffi").string(abi.border.text, abi.border.text_bytes), opened ~= ENOMEM and NO_RING or NO_START)
    end

    evaluation.apps.folder = require("moongate.paths").folder_of(evaluation.files[1] or "")
    local generation, message = chain.build(evaluation.apps)
    if not generation then return fail(message) end
    local ok, why = chain.use(generation)
    if not ok then return fail(why) end
    loop.handle {
        error = function(slot, err, stack)
            local fine, message = pcall(response.raised, generation.app, slot, err, stack)
            if not fine then response.give_up(generation.app, slot, message) end
        end,
        task_error = function(task, _, traceback)
            response.log(3, ("a task%s failed: %s"):format(task.where and " spawned at " .. task.where or "", traceback))
        end,
        events = events(generation),
    }
    local serving = generation
    require("moongate.isolate").watch(function(number)
        serving = chain.isolate(serving, number) or serving
        return serving.by_number[number].isolated
    end, function(number) return ("%s (%s)"):format(serving.titles[number], serving.places[number]) end,
        function(text) response.log(2, text) end)
    local started = {}
    loop.run_until(await.spawn(function() started.problem = run_start(generation.app) end))
    if started.problem then return fail(started.problem) end
    if loop.has_ended() then return 0 end
    local rc = abi.C.mg_serve(abi.worker)
    if rc < 0 then return fail(("listening: error %d"):format(-rc)) end
    loop.run()
    return 0
end

return M
