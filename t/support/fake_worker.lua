--- A worker without C, for specs of what waits: the real await and loop over a clock that moves only when every
--- task waits, and then straight to the next timer. `local worker = fake_worker.install()` before requiring a
--- module that waits.
local M = {}

local C = { MG_LOG_DEBUG = 0, MG_LOG_INFO = 1, MG_LOG_WARN = 2, MG_LOG_ERROR = 3 }

--- Stands in for moongate.abi in this spec file; the scheduler is loaded anew over it.
function M.install()
    local self = { now = 0, timers = {}, logs = {}, cancelled_timers = 0, started = 0, files = {}, timers_max = math.huge }
    local border = { current = -1, event = 0, token = 0, result = 0, hurried = 0, bounded = 0, starved = 0 }
    local abi = { C = setmetatable({}, { __index = C }), worker = {}, border = border, stats = {} }
    self.C = abi.C

    function abi.failed(code, what) return nil, what .. ": error " .. -code, code end

    function abi.C.mg_now() return self.now end

    function abi.C.mg_timer(_, ms, token)
        if #self.timers >= self.timers_max then return -105 end
        self.started = self.started + 1
        self.timers[#self.timers + 1] = { at = self.now + math.max(ms, 0), token = token, handle = self.started }
        return self.started
    end

    function abi.C.mg_timer_cancel(_, handle)
        for i, timer in ipairs(self.timers) do
            if timer.handle == handle then
                table.remove(self.timers, i)
                self.cancelled_timers = self.cancelled_timers + 1
                return
            end
        end
    end

    function abi.C.mg_beat_task() end
    function abi.C.mg_beat() end

    function abi.C.mg_log(_, level, text) self.logs[#self.logs + 1] = { level = level, text = text } end

    --- The next timer fires: the earliest, of equals the first started.
    function abi.C.mg_next()
        if border.hurried == 1 then return -1 end
        local earliest
        for i, timer in ipairs(self.timers) do
            if not earliest or timer.at < self.timers[earliest].at then earliest = i end
        end
        if not earliest then error("every task waits and no timer runs", 0) end
        local timer = table.remove(self.timers, earliest)
        self.now = timer.at
        border.event, border.token, border.result = 1, timer.token, 0
        return -1
    end

    package.loaded["moongate.abi"] = abi
    package.loaded["moongate.await"], package.loaded["moongate.loop"] = nil, nil
    self.await, self.loop = require "moongate.await", require "moongate.loop"
    self.loop.handle {
        error = function(_, err) error(err, 0) end,
        task_error = function(task, err, traceback)
            self.logs[#self.logs + 1] = { level = 3, text = traceback, where = task.where, err = err }
        end,
        events = {},
    }

    --- Runs fn(…) as a task until it has ended; what it returned, or its error raised. Other tasks may be left waiting.
    function self.run(fn, ...)
        local args, results = { n = select("#", ...), ... }, nil
        local function keep(...) results = { n = select("#", ...), ... } end
        local task = self.await.spawn(function() keep(fn(unpack(args, 1, args.n))) end)
        task.watched = true
        self.loop.run_until(task)
        if not task.ok then error(task.value, 0) end
        return unpack(results, 1, results.n)
    end

    return self
end

return M
