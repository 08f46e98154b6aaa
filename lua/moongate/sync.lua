--- Tasks that wait for each other: channels, semaphores, mutexes and groups. In: values and durations; out: values, or `nil, message, code`. Whoever
--- waits stands in a line; who was first is served first. A task that is cancelled in the very moment in which it is served gives back what
--- it was given. Every wait has an end: the duration that is given, else limits.task_wait.
local await = require "moongate.await"
local caller = require "moongate.caller"
local names = require "moongate.names"
local units = require "moongate.units"
local waits = require "moongate.waits"

local M = {}

local CANCELLED = await.CANCELLED

local CHANNEL_MOST = 65536

--- ---- the line ----

---@class moongate.Standing one who waits
---@field token number
---@field given boolean was served
---@field value any

---@class moongate.Line
---@field first integer
---@field last integer

local function new_line() return { first = 1, last = 0 } end

--- The first who still waits, taken out of the line; nil: nobody.
local function next_of(line)
    while line.first <= line.last do
        local standing = line[line.first]
        line[line.first] = nil
        line.first = line.first + 1
        if standing and await.is_waiting(standing.token) then return standing end
    end
    line.first, line.last = 1, 0
    return nil
end

--- Serves one that next_of() gave.
local function serve(standing, value)
    standing.given, standing.value = true, value
    await.wake(standing.token, true)
end

--- Those at the end who wait no more are forgotten; in the middle next_of() passes over them.
local function leave(line, standing)
    for at = line.last, line.first, -1 do
        if line[at] == standing then line[at] = false end
    end
    while line.last >= line.first and not line[line.last] do
        line[line.last] = nil
        line.last = line.last - 1
    end
end

local function longest_ms(what, duration)
    if duration == nil then return await.current().wait_most or waits.task_ms, "limits.task_wait" end
    local ms, message = units.duration(duration)
    if not ms then caller.raise(("%s: %s"):format(what, message)) end
    return ms
end

--- Stands in a line until served: true; or nil, message, "timeout". Cancelled: raises, after `back` was called when it had been served.
---@param back? fun(standing: moongate.Standing)
local function stand(line, what, duration, standing, back)
    if not await.current() then error(what .. ": nothing can wait here: this does not run in a task", 3) end
    local ms, limit = longest_ms(what, duration)
    if ms > 0 then
        standing.token = await.token()
        line.last = line.last + 1
        line[line.last] = standing
        local _, why = await.wait_raw("line", ms)
        if not standing.given then leave(line, standing) end
        if why == "cancelled" then
            if standing.given and back then back(standing) end
            error(CANCELLED, 0)
        end
        if standing.given then return true end
    end
    return nil, ("%s: waited %s%s"):format(what, units.show_duration(ms), limit and (" (%s)"):format(limit) or ""), "timeout"
end

--- A class whose unknown names are told at the line that uses them.
local function class(kind, methods)
    return {
        __name = "moongate." .. kind,
        __index = function(_, name)
            local method = methods[name]
            if method ~= nil or not caller.is_user(2) then return method end
            local message, hint = names.missing(kind, name)
            caller.raise(message, hint, { about = name })
        end,
    }
end

--- ---- channels ----

---@class moongate.Channel
---@field capacity integer
---@field count integer values that wait to be received
---@field closed boolean
local Channel = {}
M.Channel = Channel

--- A place where tasks of this worker hand values to each other. `capacity` values wait in it; with 0 who sends waits for who receives.
---@param capacity? integer 0 to 65536; 1 unless told
---@return moongate.Channel
function M.channel(capacity)
    capacity = capacity or 1
    if type(capacity) ~= "number" or capacity % 1 ~= 0 or capacity < 0 or capacity > CHANNEL_MOST then
        caller.raise(("mg.channel: expected a capacity from 0 to %d"):format(CHANNEL_MOST))
    end
    return setmetatable({ capacity = capacity, count = 0, closed = false, at = 1, values_of = {}, senders = new_line(), receivers = new_line() }, M.ChannelMT)
end

local function put(self, value)
    self.values_of[self.at + self.count] = value
    self.count = self.count + 1
end

local function put_back(self, value)
    self.at, self.count = self.at - 1, self.count + 1
    self.values_of[self.at] = value
end

local function take(self)
    local value = self.values_of[self.at]
    self.values_of[self.at] = nil
    self.at, self.count = self.at + 1, self.count - 1
    if self.count == 0 then self.at = 1 end
    return value
end

local function is_closed() return nil, "the channel is closed", "closed" end

--- Hands a value over, or leaves it in the channel; waits while that is full.
---@param value any not nil
---@param duration? number|string how long at most; 0: not at all
---@return true? sent
---@return string? message
---@return string? code "closed" or "timeout"
function Channel:send(value, duration)
    if value == nil then caller.raise("send: nil cannot be sent; close() tells that there is no more") end
    if self.closed then return is_closed() end
    local receiver = next_of(self.receivers)
    if receiver then
        serve(receiver, value)
        return true
    end
    if self.count < self.capacity then
        put(self, value)
        return true
    end
    local standing = { given = false, value = value }
    local sent, message, code = stand(self.senders, "send", duration, standing)
    if not sent then return nil, message, code end
    if standing.value == CANCELLED then return is_closed() end
    return true
end

--- The next value, in the order in which they were sent.
---@param duration? number|string how long at most; 0: not at all
---@return any value
---@return string? message
---@return string? code "closed" (and nothing is left in it) or "timeout"
function Channel:receive(duration)
    if self.count > 0 then
        local value = take(self)
        local sender = next_of(self.senders)
        if sender then
            put(self, sender.value)
            serve(sender, true)
        end
        return value
    end
    local sender = next_of(self.senders)
    if sender then
        local value = sender.value
        serve(sender, true)
        return value
    end
    if self.closed then return is_closed() end
    local standing = { given = false }
    local got, message, code = stand(self.receivers, "receive", duration, standing, function(served)
        if served.value == CANCELLED then return end
        local other = next_of(self.receivers)
        if other then serve(other, served.value) else put_back(self, served.value) end
    end)
    if not got then return nil, message, code end
    if standing.value == CANCELLED then return is_closed() end
    return standing.value
end

--- No more is sent: who waits is told, what is in it can still be received.
function Channel:close()
    self.closed = true
    for _, line in ipairs { self.senders, self.receivers } do
        for standing in next_of, line do serve(standing, CANCELLED) end
    end
end

--- An iterator over what is received, until it is closed. Raises when nothing comes for limits.task_wait.
---@return fun(): any
function Channel:values()
    return function()
        local value, message, code = self:receive()
        if value == nil and code ~= "closed" then error(message, 0) end
        return value
    end
end

M.ChannelMT = class("channel", Channel)

--- ---- semaphores and mutexes ----

---@class moongate.Semaphore
---@field most integer
---@field free integer how many may still be acquired
local Semaphore = {}
M.Semaphore = Semaphore

--- So many may do something at once.
---@param most integer
---@return moongate.Semaphore
function M.semaphore(most)
    if type(most) ~= "number" or most % 1 ~= 0 or most < 1 then caller.raise("mg.semaphore: expected a whole number from 1 on") end
    return setmetatable({ most = most, free = most, line = new_line() }, M.SemaphoreMT)
end

--- Becomes one of them; waits while there are as many as may be.
---@param duration? number|string how long at most; 0: not at all
---@return true? acquired
---@return string? message
---@return string? code "timeout"
function Semaphore:acquire(duration)
    if self.free > 0 then
        self.free = self.free - 1
        return true
    end
    return stand(self.line, "acquire", duration, { given = false }, function() self:release() end)
end

--- Is none of them any more: the next who waits is.
function Semaphore:release()
    local other = next_of(self.line)
    if other then return serve(other, true) end
    if self.free == self.most then caller.raise("release: more often than acquire") end
    self.free = self.free + 1
end

local function finish(self, ok, ...)
    self:release()
    if not ok then error((...), 0) end
    return ...
end

--- Runs fn(…) as one of them, and releases whatever becomes of it: what it returned; nil, message, "timeout" when it could not be acquired.
---@param fn function
---@return any ...
function Semaphore:with(fn, ...)
    if type(fn) ~= "function" then caller.raise(("with: expected a function, got %s"):format(type(fn))) end
    local acquired, message, code = self:acquire()
    if not acquired then return nil, message, code end
    return finish(self, pcall(fn, ...))
end

M.SemaphoreMT = class("semaphore", Semaphore)

---@class moongate.Mutex
---@field owner? moongate.Task
local Mutex = {}
M.Mutex = Mutex

--- One task of this worker at a time. For one among all workers see mg.shared(name):update().
---@return moongate.Mutex
function M.mutex()
    return setmetatable({ owner = false, line = new_line() }, M.MutexMT)
end

--- The next who waits has it.
local function pass_on(self)
    local other = next_of(self.line)
    self.owner = other and other.task or false
    if other then serve(other, true) end
end

--- Takes it; waits while another has it. Not twice by one task.
---@param duration? number|string how long at most; 0: not at all
---@return true? locked
---@return string? message
---@return string? code "timeout"
function Mutex:lock(duration)
    local task = await.current()
    if self.owner == task and task then caller.raise("lock: this task has it already") end
    if not self.owner then
        self.owner = task or true
        return true
    end
    local standing = { given = false, task = task }
    return stand(self.line, "lock", duration, standing, function() pass_on(self) end)
end

--- Gives it back.
function Mutex:unlock()
    if self.owner ~= (await.current() or true) then caller.raise("unlock: this task does not have it") end
    pass_on(self)
end

local function finish_mutex(self, ok, ...)
    self:unlock()
    if not ok then error((...), 0) end
    return ...
end

--- Runs fn(…) while nobody else does, and unlocks whatever becomes of it: what it returned; nil, message, "timeout" when it could not be had.
---@param fn function
---@return any ...
function Mutex:with(fn, ...)
    if type(fn) ~= "function" then caller.raise(("with: expected a function, got %s"):format(type(fn))) end
    local locked, message, code = self:lock()
    if not locked then return nil, message, code end
    return finish_mutex(self, pcall(fn, ...))
end

M.MutexMT = class("mutex", Mutex)

--- ---- groups ----

---@class moongate.WaitGroup
---@field count integer how many are not done yet
local WaitGroup = {}
M.WaitGroup = WaitGroup

--- Waits for many: add() what is begun, done() what has ended.
---@return moongate.WaitGroup
function M.wait_group()
    return setmetatable({ count = 0, line = new_line() }, M.WaitGroupMT)
end

--- So many more are waited for.
---@param count? integer 1
function WaitGroup:add(count)
    count = count or 1
    if type(count) ~= "number" or count % 1 ~= 0 or count < 1 then caller.raise("add: expected a whole number from 1 on") end
    self.count = self.count + count
end

--- One has ended.
function WaitGroup:done()
    if self.count == 0 then caller.raise("done: more often than add") end
    self.count = self.count - 1
    if self.count > 0 then return end
    for standing in next_of, self.line do serve(standing, true) end
end

--- Waits until all have ended.
---@param duration? number|string how long at most; 0: not at all
---@return true? all_done
---@return string? message
---@return string? code "timeout"
function WaitGroup:wait(duration)
    if self.count == 0 then return true end
    return stand(self.line, "wait", duration, { given = false })
end

M.WaitGroupMT = class("wait_group", WaitGroup)

return M
