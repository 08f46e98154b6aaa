--- What a streamed answer is written with: `out` of mg.stream, `events` of mg.sse. In: pieces; out: `true`, or nil and a message when the client
--- has gone. A writer waits while more than a window of its pieces has not been taken.
local abi = require "moongate.abi"
local await = require "moongate.await"
local json = require "moongate.json"

local M = {}

local C = abi.C

---@class moongate.Out
local Out = {}
Out.__index = Out

--- The client has gone, and this writer was told so. A stream that does not listen is ended at its next write, or it would go on for ever.
local function gone(self, code)
    if self.owner == await.current() then
        if self.told then error(await.CANCELLED, 0) end
        self.told = true
    end
    return abi.failed(code)
end

--- Writes a piece. Waits when the client is slow. true; or nil, message when the client has gone.
function Out:write(text)
    if type(text) ~= "string" then
        if type(text) ~= "number" then error("out:write: expected a string, got " .. type(text), 2) end
        text = tostring(text)
    end
    if self.p.generation ~= self.generation then return nil, "this answer is over" end
    local waiting = C.mg_stream_write(abi.worker, self.slot, text, #text)
    if waiting < 0 then
        if waiting == -90 then error("out:write: more than the announced length", 2) end
        return gone(self, waiting)
    end
    if waiting > self.window then return self:drain(self.window / 2) end
    return true
end

--- C wakes one writer: the others wait for that one.
local function wait_for_turn(self)
    while self.waiter and await.is_waiting(self.waiter) do
        local token = await.token()
        self.others[#self.others + 1] = token
        await.wait("output")
    end
end

local function wake_others(self)
    local others = self.others
    if not others[1] then return end
    self.others = {}
    for _, token in ipairs(others) do await.wake(token, true) end
end

--- Waits until at most `mark` bytes wait to be taken. true; or nil, message.
function Out:drain(mark)
    wait_for_turn(self)
    if self.p.generation ~= self.generation then return nil, "this answer is over" end
    local token = await.token()
    local rc, why = C.mg_stream_wait(abi.worker, self.slot, mark or 0, token), nil
    if rc == 0 then
        self.waiter = token
        rc, why = await.wait_raw("output")
    end
    wake_others(self)
    if why then error(await.CANCELLED, 0) end
    if rc < 0 then return abi.failed(rc) end
    return true
end

--- Waits until everything written so far is on its way.
function Out:flush() return self:drain(0) end

--- Has the client left?
function Out:is_gone()
    return self.p.generation ~= self.generation or self.p.flags % 2 == 1
end

---@class moongate.Events
local Events = {}
Events.__index = Events

local function event_lines(name, value)
    return name .. ": " .. tostring(value):gsub("\r\n?", "\n"):gsub("\n", "\n" .. name .. ": ") .. "\n"
end

--- Sends one event. true; or nil, message when the client has gone.
function Events:send(event)
    if type(event) ~= "table" then event = { data = event } end
    local text = ""
    if event.event then text = text .. event_lines("event", event.event) end
    if event.id then text = text .. event_lines("id", event.id) end
    if event.retry then text = text .. event_lines("retry", event.retry) end
    local data = event.data
    if type(data) == "table" then data = assert(json.encode(data)) end
    if data ~= nil then text = text .. event_lines("data", data) end
    return self.out:write(text .. "\n")
end

--- A line that clients ignore: keeps intermediaries from closing a quiet stream.
function Events:comment(text) return self.out:write((event_lines("", text or ""))) end
function Events:is_gone() return self.out:is_gone() end

--- The writer of a request's answer.
---@return moongate.Out
function M.new(req)
    local p = req._p -- the slot may serve another request while somebody still has this writer
    return setmetatable({
        slot = req._slot, p = p, generation = p.generation, window = C.mg_settings(abi.worker).window_bytes, owner = await.current(), told = false,
        waiter = false, others = {},
    }, Out)
end

--- Events over a writer.
---@return moongate.Events
function M.events(out)
    return setmetatable({ out = out }, Events)
end

return M
