--- After the answer: hooks that wait for its last byte, and the request's object, which goes back for the next request in its slot. What C has taken
--- over may fail there: then the error handler finds what handlers have kept.
local abi = require "moongate.abi"
local await = require "moongate.await"
local failures = require "moongate.failure"
local request = require "moongate.request"
local units = require "moongate.units"
local waits = require "moongate.waits"

local M = {}

local C = abi.C
local rawset, rawget = rawset, rawget

local function run_hook(fn, req, where)
    local title = where and "on_done at " .. where or "an on_done hook"
    C.mg_beat_task(abi.worker, title, #title, 0) -- each has its own time
    await.current().title = title
    local ok, message, _, is_late = await.within(fn, failures.traced, req)
    if is_late then message = ("waited until its time of %s was over (limits.hook_time)"):format(units.show_duration(waits.hook_ms)) end
    if not ok or is_late then
        local text = ("on_done%s: %s"):format(where and " at " .. where or "", message)
        C.mg_log(abi.worker, C.MG_LOG_ERROR, text, #text)
    end
end

local hooks_running, hooks_token, is_patient = 0, 0, true

--- The end of the worker waits for hooks that run still, until it is told not to.
function M.wait_for_hooks()
    if hooks_running == 0 or not is_patient then return end
    hooks_token = await.token()
    await.wait("hooks")
end

function M.wait_no_more()
    is_patient = false
    await.wake(hooks_token, true)
end

--- Waits for the last byte (or for the client's end), and runs the hooks.
local function done_task(app, req)
    local token = await.token()
    if C.mg_hold(abi.worker, req._slot, token) == 0 then await.wait("sent") end
    for _, hook in ipairs(app.done) do run_hook(hook.fn, req, hook.where) end
    for _, fn in ipairs(req._hooks or {}) do run_hook(fn, req) end
end

--- Lets the slot go, however that has ended.
local function done_ended(task)
    local req = task.request
    local slot = req._slot
    task.request = nil
    request.reset(req)
    C.mg_release(abi.worker, slot)
    hooks_running = hooks_running - 1
    if hooks_running == 0 then await.wake(hooks_token, true) end
end

--- Keeps the slot beyond its answer when somebody wants to know its end.
function M.hold(app, req)
    if req._held or not (req._hooks or app.done[1]) then return end
    if C.mg_hold(abi.worker, req._slot, 0) < 0 then return end
    rawset(req, "_used", true)
    rawset(req, "_held", "waiting")
end

--- What the error handler shall find when an answer that C has taken over fails there, by slot.
local taken_over = {}

local function keep_for_failure(req)
    local kept = taken_over[req._slot]
    if not kept then
        kept = {}
        taken_over[req._slot] = kept
    end
    kept.generation, kept.id, kept.state, kept.erring = req._p.generation, rawget(req, "id"), rawget(req, "state"), rawget(req, "_erring")
    kept.keep = rawget(req, "_keep")
end

--- Gives what keep_for_failure() kept back to a request that fails below.
function M.bring_back(req)
    local kept = taken_over[req._slot]
    if not kept then return end
    taken_over[req._slot] = nil
    if kept.generation ~= req._p.generation then return end
    rawset(req, "_used", true)
    rawset(req, "id", kept.id)
    rawset(req, "state", kept.state)
    rawset(req, "_erring", kept.erring)
    rawset(req, "_keep", kept.keep)
end

--- The request is over for its dispatcher.
function M.over(app, req)
    if req._held == "waiting" then
        rawset(req, "_held", "told")
        hooks_running = hooks_running + 1
        local task = await.spawn(done_task, app, req)
        task.steady, task.request, task.on_end = true, req, done_ended
    elseif not req._held and req._used then
        if req._p.flags % 8 < 4 then keep_for_failure(req) end -- not MG_REQ_ENDED
        request.reset(req)
    end
end

return M
