--- An engine driven from a spec, and plain sockets as its peers. Nothing here waits without a limit.
---
---     local e = engine.new { connections = 8 }
---     local address = e:listen(7)
---     local peer = engine.connect(address)
---     local accepted = e:expect("accepted")       -- { kind = "accepted", conn = 0, owner = 7, … }
local ffi = require "ffi"
local bit = require "bit"
local fcntl = require "posix.fcntl"
local poll = require "posix.poll"
local socket = require "posix.sys.socket"
local time = require "posix.time"
local unistd = require "posix.unistd"
local c = require "t.support.c"
c.header("net/net.h")
local lib = c.lib()

local M = { lib = lib }
local engine = {}
engine.__index = engine

local KINDS = { [0] = "none", "accepted", "connected", "bytes", "end", "drained", "timeout", "failed", "closed", "timer", "done", "ready" }
local GUARD, SECONDS = 0x7eeeeeee, 10
local living, opened = {}, {}

--- `options`: fields of struct net_options.
function M.new(options)
    local o = { connections = 64, buffer_bytes = 2 ^ 24 }
    for key, value in pairs(options or {}) do o[key] = value end
    local message = ffi.new("char[512]")
    local self = setmetatable({ events = {}, event = ffi.new("struct net_event") }, engine)
    self.net = lib.net_new(ffi.new("struct net_options", o), message, 512)
    assert(self.net ~= nil, ffi.string(message))
    living[self] = true
    return self
end

--- For `after_each`: frees all engines and closes all sockets.
function M.sweep()
    for self in pairs(living) do lib.net_free(self.net) end
    for fd in pairs(opened) do unistd.close(fd) end
    living, opened = {}, {}
end

--- Closes a socket of this file.
function M.close(fd)
    opened[fd] = nil
    unistd.close(fd)
end

local function keep(fd, ...)
    assert(fd, ...)
    opened[fd] = true
    return fd
end
M.keep = keep

--- A listening socket: "127.0.0.1" (also nil), "::1" or the path of a Unix socket. Its descriptor and its address.
function M.listener(where, backlog)
    local unix = where and where:sub(1, 1) == "/"
    local family = unix and socket.AF_UNIX or where == "::1" and socket.AF_INET6 or socket.AF_INET
    local fd = keep(socket.socket(family, socket.SOCK_STREAM, 0))
    local address = unix and { family = family, path = where } or { family = family, addr = where or "127.0.0.1", port = 0 }
    assert(socket.bind(fd, address))
    assert(socket.listen(fd, backlog or 128))
    if not unix then address.port = socket.getsockname(fd).port end
    return fd, address
end

--- A blocking connection to an address; `receive_bytes` makes its receive buffer small.
function M.connect(address, receive_bytes)
    local fd = keep(socket.socket(address.family, socket.SOCK_STREAM, 0))
    if receive_bytes then assert(socket.setsockopt(fd, socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)) end
    assert(socket.connect(fd, address))
    return fd
end

function M.accept(fd)
    assert(poll.rpoll(fd, SECONDS * 1000) == 1, "nobody to accept")
    return keep(socket.accept(fd))
end

--- Up to `count` bytes of what is there; "" at the end; nil and the reason when there is nothing or it failed.
function M.read_now(fd, count)
    local ready = poll.rpoll(fd, 0)
    if ready ~= 1 then return nil, "nothing" end
    return socket.recv(fd, count or 65536)
end

--- What the kernel wants of an address, and its size.
function M.sockaddr(address)
    local bytes = ffi.new("uint8_t[128]")
    ffi.cast("uint16_t *", bytes)[0] = address.family
    if address.family == socket.AF_UNIX then
        ffi.copy(bytes + 2, address.path)
        return bytes, 3 + #address.path
    end
    bytes[2], bytes[3] = bit.rshift(address.port, 8), bit.band(address.port, 255)
    if address.family == socket.AF_INET6 then
        assert(address.addr == "::1")
        bytes[23] = 1
        return bytes, 28
    end
    bytes[4], bytes[5], bytes[6], bytes[7] = 127, 0, 0, 1
    return bytes, 16
end

--- Listens; events of its connections have `number` as owner. The address and the descriptor.
function engine:listen(number, where, backlog)
    local fd, address = M.listener(where, backlog)
    assert(lib.net_listen(self.net, fd, number) == 0)
    return address, fd
end

--- Connects: the connection's number, or nil and -errno.
function engine:connect(address, owner)
    local bytes, count = M.sockaddr(address)
    local conn = ffi.new("uint32_t[1]")
    local error = lib.conn_connect(self.net, ffi.cast("const struct sockaddr *", bytes), count, owner or 0, conn)
    ffi.fill(bytes, 128, 0xff) -- the engine has a copy
    if error ~= 0 then return nil, error end
    return conn[0]
end

--- The next event that is recorded, or nil; without a turn.
function engine:take()
    local e = self.event
    if lib.net_event_next(self.net, e) == 0 then return nil end
    local event = { kind = KINDS[e.kind], conn = e.conn, owner = e.owner, result = e.result, user = e.user, token = e.token, role = e.role }
    if event.kind == "bytes" then event.bytes = ffi.string(e.bytes, e.count) end
    assert(not (event.kind == "timer" and event.user == GUARD), "the spec has waited too long")
    if self.on then self.on(event) end
    return event
end

--- One turn; what it brought is appended to `events`, and its number returned.
function engine:turn(wait)
    assert(lib.net_turn(self.net, wait or 0) == 0)
    local count = 0
    for event in self.take, self do
        count = count + 1
        self.events[#self.events + 1] = event
    end
    return count
end

--- Turns until `condition()` holds.
function engine:run(condition)
    local guard = lib.net_timer_start(self.net, SECONDS * 1000, GUARD, 0)
    while not condition() do self:turn(1) end
    lib.net_timer_stop(self.net, guard)
end

--- Turns without sleeping until `condition()`, which may do something of its own each time, holds.
function engine:spin(condition)
    local guard = lib.net_timer_start(self.net, SECONDS * 1000, GUARD, 0)
    while not condition() do self:turn(0) end
    lib.net_timer_stop(self.net, guard)
end

--- Turns for so many milliseconds.
function engine:run_ms(ms)
    local over
    local timer = lib.net_timer_start(self.net, ms, GUARD - 1, 0)
    local seen = #self.events
    self:run(function()
        while seen < #self.events and not over do
            seen = seen + 1
            over = self.events[seen].kind == "timer" and self.events[seen].user == GUARD - 1
        end
        return over
    end)
    lib.net_timer_stop(self.net, timer)
end

--- The first event of this kind (of this connection), now or later; it is taken out of `events`.
function engine:expect(kind, conn)
    local found
    self:run(function()
        for i, event in ipairs(self.events) do
            if event.kind == kind and (not conn or event.conn == conn) then
                found = table.remove(self.events, i)
                return true
            end
        end
    end)
    return found
end

--- How many events of this kind (of this connection) are in `events`.
function engine:count(kind, conn)
    local count = 0
    for _, event in ipairs(self.events) do
        if event.kind == kind and (not conn or event.conn == conn) then count = count + 1 end
    end
    return count
end

--- All bytes of a connection that are in `events`, taken out.
function engine:bytes(conn)
    local parts, rest = {}, {}
    for _, event in ipairs(self.events) do
        local list = event.kind == "bytes" and event.conn == conn and parts or rest
        list[#list + 1] = list == parts and event.bytes or event
    end
    self.events = rest
    return table.concat(parts)
end

--- Runs until these bytes have come.
function engine:expect_bytes(conn, count)
    local text = ""
    self:run(function()
        text = text .. self:bytes(conn)
        return #text >= count
    end)
    return text
end

--- Reads from a peer's descriptor, turning the engine, until `count` bytes or the end have come. Bytes, and true at the end.
function engine:read(fd, count)
    local parts, have, ended = {}, 0, false
    local guard = lib.net_timer_start(self.net, SECONDS * 1000, GUARD, 0)
    while have < count and not ended do
        local text, why = M.read_now(fd, count - have)
        assert(text or why == "nothing", why)
        if text == "" then ended = true end
        if text then
            parts[#parts + 1], have = text, have + #text
        else
            self:turn(0)
        end
    end
    lib.net_timer_stop(self.net, guard)
    return table.concat(parts), ended
end

--- A client connection: its number, and the peer's descriptor.
function engine:pair(receive_bytes)
    self.address = self.address or self:listen(0)
    local peer = M.connect(self.address, receive_bytes)
    return self:expect("accepted").conn, peer
end

function engine:write(conn, text) return lib.conn_write(self.net, conn, text, #text) end
function engine:close(conn, mode) lib.conn_close(self.net, conn, lib["CLOSE_" .. mode]) end

function engine:facts()
    local facts = ffi.new("struct net_facts")
    lib.net_facts(self.net, facts)
    return facts
end

--- The clock that the engine reads, now.
function M.clock_ms()
    local t = time.clock_gettime(time.CLOCK_MONOTONIC)
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6
end

--- Never blocks; used for a peer that sends more than the other side takes.
function M.unblock(fd) fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.O_NONBLOCK) end

return M
