--- A scripted origin server for proxy specs: a forked child that does exactly what a Lua function says, one step after the other,
--- and tells the spec what it saw. In: a script; out: an address, notes, and the script's error if it raised.
---
---     local o = origin.start(function(o)
---         local c = o:accept()
---         o:note(c:read_request().head)
---         c:send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
---     end)
---     … o.address …  o:note_of(1)  o:finish()
local socket = require "socket"
local unistd = require "posix.unistd"
local posix_socket = require "posix.sys.socket"
local process = require "t.support.process"
local wire = require "t.support.wire"

local M = {}
local origin, script_side = {}, {}
origin.__index, script_side.__index = origin, script_side

local SOCK_SEQPACKET = 5 -- keeps notes whole, and tells when the last writer is gone
local NOTE_BYTES_MAX = 65536
local living = {}

--- Waits for a connection, at most `seconds` (default 5). Returns a client as of wire.lua.
function script_side:accept(seconds)
    self.listener:settimeout(seconds or 5)
    local s = assert(self.listener:accept())
    s:setoption("tcp-nodelay", true)
    return wire.adopt(s)
end

--- Tells the spec something: a text of at most 64 KiB.
function script_side:note(text)
    assert(#text <= NOTE_BYTES_MAX, "a note is at most 64 KiB")
    assert(posix_socket.send(self.notes, "+" .. text))
end

--- Answers every request of every connection with what `answer(request, origin, client)` returns (the text of a response; nil:
--- close the connection), each connection in a child of its own, until the spec stops it.
function script_side:serve(answer)
    while true do
        local c = self:accept(600)
        local fd = c.socket:getfd()
        process.fork({ fd, self.notes }, function()
            local ok, message = pcall(function()
                while true do
                    local text = answer(c:read_request(), self, c)
                    if not text then break end
                    c:send(text)
                end
            end)
            if not ok and not message:find("the connection ended") then self:note("serve: " .. message) end
        end)
        c:close()
    end
end

local function run_script(self, script)
    local ok, message = xpcall(function() script(self) end, debug.traceback)
    if not ok then posix_socket.send(self.notes, "!" .. tostring(message):sub(1, NOTE_BYTES_MAX)) end
    assert(ok)
end

--- Starts an origin on a port of its own (or the `port` given); it accepts at once.
---@param script fun(origin: table)
---@return table origin with host, port, address
function M.start(script, port)
    local listener = assert(socket.tcp4())
    listener:setoption("reuseaddr", true)
    assert(listener:bind("127.0.0.1", port or 0))
    assert(listener:listen(1024))
    local host, bound = listener:getsockname()
    local ours, theirs = assert(posix_socket.socketpair(posix_socket.AF_UNIX, SOCK_SEQPACKET, 0))
    local child = process.fork({ listener:getfd(), theirs }, function()
        run_script(setmetatable({ listener = listener, notes = theirs, port = tonumber(bound) }, script_side), script)
    end)
    listener:close()
    unistd.close(theirs)
    local self = setmetatable({ host = host, port = tonumber(bound), process = child, fd = ours, heard = {} }, origin)
    self.address = ("%s:%d"):format(host, self.port)
    living[self] = true
    return self
end

--- One message from the script: false at its end, nil when time is over.
local function listen_once(self, seconds)
    if not process.readable(self.fd, seconds) then return nil end
    local text = posix_socket.recv(self.fd, NOTE_BYTES_MAX + 1)
    if not text or text == "" then return false end
    if text:sub(1, 1) == "!" then error("the origin's script: " .. text:sub(2), 3) end
    self.heard[#self.heard + 1] = text:sub(2)
    return true
end

--- The n-th note, waited for at most `seconds` (default 5).
function origin:note_of(n, seconds)
    local limit = process.now() + (seconds or 5)
    while #self.heard < n do
        local got = listen_once(self, limit - process.now())
        if got == nil then error(("the origin noted %d times in time, not %d"):format(#self.heard, n), 2) end
        if not got then error(("the origin ended after %d notes, before note %d"):format(#self.heard, n), 2) end
    end
    return self.heard[n]
end

--- All notes so far, without waiting.
function origin:noted()
    while listen_once(self, 0) do end
    return self.heard
end

--- Waits for the script's end (at most `seconds`, default 5); raises when it raised. Returns all notes.
function origin:finish(seconds)
    local limit = process.now() + (seconds or 5)
    repeat
        local got = listen_once(self, limit - process.now())
        if got == nil then error("the origin's script did not end in time", 2) end
    until not got
    self:stop()
    return self.heard
end

--- Ends it at once, with the children of `serve`.
function origin:stop()
    if not living[self] then return end
    living[self] = nil
    for _, pid in ipairs(process.children(self.process.pid)) do require "posix.signal".kill(pid, 9) end
    self.process:kill()
    unistd.close(self.fd)
end

--- For `after_each`.
function M.sweep()
    for one in pairs(living) do one:stop() end
end

return M
