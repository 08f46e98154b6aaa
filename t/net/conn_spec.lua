--- Connections over real sockets: receiving, sending, pausing, ends and errors.
local ffi = require "ffi"
local socket = require "posix.sys.socket"
local unistd = require "posix.unistd"
local engine = require "t.net.engine"
local lib = engine.lib

local EPIPE, ECONNREFUSED, ENOBUFS, ETIMEDOUT, ENOENT = -32, -111, -105, -110, -2

--- Text in which no two places look alike.
local function pattern(bytes)
    local parts = {}
    for i = 1, math.ceil(bytes / 8) do parts[i] = ("%07d,"):format(i) end
    return table.concat(parts):sub(1, bytes)
end

local function send(peer, text)
    assert.equal(#text, socket.send(peer, text))
end

describe("a connection", function()
    local e
    before_each(function() e = engine.new() end)
    after_each(engine.sweep)

    it("is accepted with the number of its listener, and owned by whom conn_own() says", function()
        local address = e:listen(41)
        local peer = engine.connect(address)
        local accepted = e:expect("accepted")
        assert.equal(41, accepted.owner)
        assert.equal(lib.ROLE_CLIENT, accepted.role)
        lib.conn_own(e.net, accepted.conn, 77)
        send(peer, "x")
        assert.equal(77, e:expect("bytes").owner)
    end)

    it("brings what the peer sends, in order and whole", function()
        local conn, peer = e:pair()
        local text, at = pattern(3e6), 0
        engine.unblock(peer)
        local got, count = {}, 0
        e.on = function(event)
            if event.kind == "bytes" then got[#got + 1], count = event.bytes, count + #event.bytes end
        end
        e:spin(function()
            at = at + (at < #text and socket.send(peer, text:sub(at + 1, at + 70001)) or 0)
            return count == #text
        end)
        assert.is_true(text == table.concat(got))
        assert.equal(#text, tonumber(e:facts().bytes_in))
        assert.equal(0, e:count("end", conn))
    end)

    it("sends what is written, in order and whole, through short sends", function()
        local conn, peer = e:pair(65536)
        local text = pattern(2e6)
        for at = 1, #text, 33333 do assert.equal(0, e:write(conn, text:sub(at, at + 33332))) end
        assert.equal(#text, lib.conn_queued(e.net, conn))
        assert.is_true(text == e:read(peer, #text))
        e:run(function() return lib.conn_queued(e.net, conn) == 0 end)
        assert.equal(#text, tonumber(lib.conn_sent_total(e.net, conn)))
        assert.equal(0, e:facts().out_bytes)
    end)

    it("has one send under way at a time: what is written meanwhile comes after it", function()
        local conn, peer = e:pair(65536)
        local text, at, got = pattern(9e6), 1, {}
        for _ = 1, 9 do
            assert.equal(0, e:write(conn, text:sub(at, at + 999999)))
            at = at + 1e6
            e:turn()
            e:turn()
            got[#got + 1] = engine.read_now(peer, 50000)
        end
        assert.is_true(lib.conn_queued(e.net, conn) > 0)
        local have = table.concat(got)
        assert.is_true(text == have .. e:read(peer, #text - #have))
    end)

    it("sends conn_out(), conn_write() and conn_take() in the order of the calls", function()
        local conn, peer = e:pair()
        local queue = ffi.new("struct net_queue")
        assert.equal(0, lib.queue_write(e.net, queue, "three ", 6))
        assert.equal(0, e:write(conn, "one "))
        ffi.copy(lib.conn_out(e.net, conn, 16320), "two ", 4)
        lib.conn_out_commit(e.net, conn, 4)
        lib.conn_take(e.net, conn, queue)
        assert.is_true(queue.first == nil and queue.bytes == 0)
        assert.equal(0, e:write(conn, "four"))
        assert.equal("one two three four", (e:read(peer, 18)))
    end)

    it("sends nothing for room that was asked for and not used", function()
        local conn, peer = e:pair()
        assert.is_true(lib.conn_out(e.net, conn, 100) ~= nil)
        assert.is_true(lib.conn_out(e.net, conn, 5000) ~= nil)
        assert.equal(0, e:write(conn, "x"))
        assert.equal("x", (e:read(peer, 1)))
        e:close(conn, "NOW")
        e:expect("closed", conn)
        assert.equal(0, e:facts().out_bytes)
    end)

    it("tells the end of the peer's side once, and goes on sending", function()
        local conn, peer = e:pair()
        send(peer, "last words")
        socket.shutdown(peer, socket.SHUT_WR)
        e:expect("end", conn)
        assert.equal("last words", e:bytes(conn))
        assert.equal(0, e:write(conn, "answer"))
        assert.equal("answer", (e:read(peer, 6)))
        lib.conn_pause(e.net, conn)
        lib.conn_resume(e.net, conn)
        e:turn()
        assert.equal(0, e:count("end", conn))
    end)

    it("fails when the peer resets it", function()
        local conn, peer = e:pair()
        assert(socket.setsockopt(peer, socket.SOL_SOCKET, socket.SO_LINGER, 1, 0))
        engine.close(peer)
        assert.equal(-104, e:expect("failed", conn).result)
    end)

    it("fails when it sends to a peer that is gone, without a signal", function()
        local conn, peer = e:pair()
        lib.conn_pause(e.net, conn)
        e:turn()
        engine.close(peer)
        e:spin(function()
            e:write(conn, "into the void")
            e:turn()
            return e:count("failed", conn) > 0
        end)
        e:close(conn, "NOW")
        assert.equal(EPIPE, e:expect("closed", conn).result)
    end)
end)

describe("pausing", function()
    local e, conn, peer
    before_each(function()
        e = engine.new()
        conn, peer = e:pair()
    end)
    after_each(engine.sweep)

    it("stops what has not arrived, and resuming brings it", function()
        lib.conn_pause(e.net, conn)
        assert.equal(1, lib.conn_is_paused(e.net, conn))
        e:turn()
        send(peer, "later")
        e:run_ms(20)
        assert.equal("", e:bytes(conn))
        lib.conn_resume(e.net, conn)
        assert.equal(0, lib.conn_is_paused(e.net, conn))
        assert.equal("later", e:expect_bytes(conn, 5))
    end)

    -- p: pause, r: resume, t: a turn. The cancel's completion comes in a turn, so both sides of it are met.
    for _, steps in ipairs { "pr", "prpr", "ptr", "ptrpr", "prt", "prtpr", "pprr", "prp", "prtp", "ptrp", "prptr", "ptprtprtr" } do
        it(("keeps every byte and their order through %q"):format(steps), function()
            local text, at = pattern(200000), 1
            local got, count = {}, 0
            e.on = function(event)
                if event.kind ~= "bytes" then return end
                got[#got + 1], count = event.bytes, count + #event.bytes
                for step in steps:gmatch(".") do
                    if step == "p" then lib.conn_pause(e.net, conn) elseif step == "r" then lib.conn_resume(e.net, conn) end
                end
            end
            engine.unblock(peer)
            e:spin(function()
                at = at + (at <= #text and socket.send(peer, text:sub(at, at + 1999)) or 0)
                for step in steps:gmatch(".") do
                    if step == "p" then
                        lib.conn_pause(e.net, conn)
                    elseif step == "r" then
                        lib.conn_resume(e.net, conn)
                    else
                        e:turn()
                    end
                end
                lib.conn_resume(e.net, conn)
                return count >= #text
            end)
            assert.is_true(text == table.concat(got))
        end)
    end

    it("and closing at once joins all the same", function()
        for _, mode in ipairs { "NOW", "FLUSH", "LINGER" } do
            local one, other = e:pair()
            lib.conn_pause(e.net, one)
            lib.conn_resume(e.net, one)
            lib.conn_pause(e.net, one)
            e:close(one, mode)
            engine.close(other)
            e:expect("closed", one)
        end
    end)

    it("tells a reset that meets the cancel", function()
        lib.conn_pause(e.net, conn)
        assert(socket.setsockopt(peer, socket.SOL_SOCKET, socket.SO_LINGER, 1, 0))
        engine.close(peer)
        e:turn()
        e:turn()
        lib.conn_resume(e.net, conn)
        e:expect("failed", conn)
    end)
end)

describe("output", function()
    after_each(engine.sweep)

    it("is bounded: what does not fit is refused whole, and room comes back", function()
        local e = engine.new { buffer_bytes = 100000 }
        local conn, peer = e:pair()
        local text = pattern(20000)
        local written = 0
        while e:write(conn, text) == 0 do written = written + #text end
        assert.is_true(written >= 60000 and written <= 100000)
        assert.equal(written, lib.conn_queued(e.net, conn))
        assert.equal(ENOBUFS, e:write(conn, text))
        assert.equal(written, lib.conn_queued(e.net, conn))
        while lib.conn_out(e.net, conn, 16320) ~= nil do lib.conn_out_commit(e.net, conn, 16320) end
        assert.is_true(e:facts().out_bytes <= 100000)
        local queued = lib.conn_queued(e.net, conn)
        assert.equal(queued, #e:read(peer, queued))
        e:run(function() return lib.conn_queued(e.net, conn) == 0 end)
        assert.equal(0, e:write(conn, text))
    end)

    it("holds its bound for blocks that are used again, too", function()
        local e = engine.new { buffer_bytes = 20000 }
        local queues = ffi.new("struct net_queue[5]")
        for i = 0, 3 do -- four blocks of 4 KiB come to the free list
            assert.is_true(lib.queue_out(e.net, queues[i], 2000) ~= nil)
            lib.queue_commit(queues[i], 2000)
        end
        for i = 0, 3 do lib.queue_free(e.net, queues[i]) end
        assert.is_true(lib.queue_out(e.net, queues[4], 16320) ~= nil)
        assert.is_true(lib.queue_out(e.net, queues[0], 2000) == nil)
        assert.is_true(lib.queue_out(e.net, queues[0], 400) ~= nil)
        assert.is_true(e:facts().out_bytes <= 20000)
        lib.queue_free(e.net, queues[0])
        lib.queue_free(e.net, queues[4])
        assert.equal(0, e:facts().out_bytes)
    end)

    it("of a peer that does not read stays as it was written, and tells the mark once", function()
        local e = engine.new()
        local conn, peer = e:pair(65536)
        local text = pattern(8e6)
        assert.equal(0, e:write(conn, text))
        lib.conn_notify_drained(e.net, conn, 1e6)
        e:run_ms(30)
        local queued = lib.conn_queued(e.net, conn)
        assert.is_true(queued > 1e6 and queued < #text)
        assert.equal(#text, queued + tonumber(lib.conn_sent_total(e.net, conn)))
        assert.equal(0, e:count("drained"))
        local mark
        e.on = function(event) if event.kind == "drained" then mark = lib.conn_queued(e.net, conn) end end
        assert.is_true(text == e:read(peer, #text))
        assert.equal(1, e:count("drained", conn))
        assert.is_true(mark <= 1e6)
    end)

    it("tells in the same turn that it is drained when it is so already", function()
        local e = engine.new()
        local conn = e:pair()
        lib.conn_notify_drained(e.net, conn, 0)
        assert.equal("drained", e:take().kind)
        assert.is_nil(e:take())
    end)

    it("that a peer does not take fails it after stall_ms, before one and a half", function()
        local e = engine.new { stall_ms = 200 }
        local conn, peer = e:pair(4096)
        assert.equal(0, e:write(conn, pattern(8e6)))
        e:run_ms(1) -- what the peer's buffers hold is taken at once
        local from = lib.net_now_ms(e.net)
        assert.equal(ETIMEDOUT, e:expect("failed", conn).result)
        local after = lib.net_now_ms(e.net) - from
        assert.is_true(after >= 190 and after <= 300, "after " .. after)
        e:close(conn, "NOW")
        assert.equal(EPIPE, e:expect("closed", conn).result)
        engine.close(peer)
    end)

    it("that moves on, however slowly, is no stall; an idle connection is none either", function()
        local e = engine.new { stall_ms = 120 }
        local conn, peer = e:pair(65536)
        local idle = e:pair()
        assert.equal(0, e:write(conn, pattern(8e6)))
        for _ = 1, 10 do
            e:read(peer, 400000)
            e:run_ms(40)
        end
        assert.equal(0, e:count("failed", conn))
        assert.equal(0, e:count("failed", idle))
    end)

    it("costs an idle connection no wake-up once it is sent", function()
        local e = engine.new { stall_ms = 40 }
        local conn, peer = e:pair()
        assert.equal(0, e:write(conn, "x"))
        e:read(peer, 1)
        e:run_ms(30)
        local before = tonumber(e:facts().turns)
        e:run_ms(200)
        assert.is_true(tonumber(e:facts().turns) - before <= 4)
    end)
end)

describe("connecting", function()
    local e
    before_each(function() e = engine.new() end)
    after_each(engine.sweep)

    for name, where in pairs { ["IPv4"] = "127.0.0.1", ["IPv6"] = "::1", ["a Unix socket"] = os.tmpname() .. ".sock" } do
        it("works over " .. name .. ", on both sides", function()
            local address = e:listen(3, where)
            local conn = e:connect(address, 9)
            local connected = e:expect("connected", conn)
            assert.equal(9, connected.owner)
            assert.equal(lib.ROLE_UPSTREAM, connected.role)
            local accepted = e:expect("accepted").conn
            assert.equal(0, e:write(conn, "question"))
            assert.equal("question", e:expect_bytes(accepted, 8))
            assert.equal(0, e:write(accepted, "answer"))
            assert.equal("answer", e:expect_bytes(conn, 6))
            if where:sub(1, 1) == "/" then os.remove(where) end
        end)
    end

    it("sends what was written before it was done", function()
        local fd, address = engine.listener()
        local conn = e:connect(address)
        assert.equal(0, e:write(conn, "early"))
        e:expect("connected", conn)
        assert.equal("early", (e:read(engine.accept(fd), 5)))
    end)

    it("fails where nobody listens", function()
        local fd, address = engine.listener()
        engine.close(fd)
        local conn = e:connect(address)
        assert.equal(ECONNREFUSED, e:expect("failed", conn).result)
        e:close(conn, "FLUSH")
        assert.equal(0, e:expect("closed", conn).result)
        local none = e:connect { family = socket.AF_UNIX, path = "/nowhere/at/all" }
        assert.equal(ENOENT, e:expect("failed", none).result)
    end)

    it("can be given up at any moment, by a deadline too", function()
        -- A listener whose queue is full answers nobody.
        local _, address = engine.listener(nil, 0)
        local fillers = {}
        for i = 1, 4 do
            fillers[i] = e:connect(address)
        end
        e:run_ms(20)
        assert.is_true(e:count("connected") < 4)
        local conn = e:connect(address)
        lib.conn_deadline(e.net, conn, 30)
        local from = lib.net_now_ms(e.net)
        e:expect("timeout", conn)
        assert.is_true(lib.net_now_ms(e.net) - from >= 29)
        e:close(conn, "NOW")
        e:expect("closed", conn)
        assert.equal(0, e:count("connected", conn))
        local other = e:connect(address)
        e:close(other, "FLUSH") -- before the kernel has heard of it
        e:expect("closed", other)
        assert.equal(0, e:count("failed", other))
    end)

    it("tells at once when there are no more connections, or no such kind of address", function()
        local _, address = engine.listener()
        local small = engine.new { connections = 1 }
        local room, error = 0, nil
        repeat
            local conn, why = small:connect(address)
            room, error = room + (conn and 1 or 0), why
            small:turn()
        until error
        assert.equal(-24, error)
        assert.equal(lib.net_conn_room(small.net), room)
        local conn, why = e:connect { family = 99, port = 0 }
        assert.is_nil(conn)
        assert.equal(-97, why)
    end)
end)

describe("a deadline", function()
    local e, conn
    before_each(function()
        e = engine.new()
        conn = e:pair()
    end)
    after_each(engine.sweep)

    it("is told once, when its time has come", function()
        lib.conn_deadline(e.net, conn, 40)
        local from = lib.net_now_ms(e.net)
        e:expect("timeout", conn)
        local after = lib.net_now_ms(e.net) - from
        assert.is_true(after >= 40 and after < 90, "after " .. after)
        e:run_ms(60)
        assert.equal(0, e:count("timeout"))
    end)

    it("moves later, earlier and away", function()
        lib.conn_deadline(e.net, conn, 20)
        lib.conn_deadline(e.net, conn, 60)
        local from = lib.net_now_ms(e.net)
        e:expect("timeout", conn)
        assert.is_true(lib.net_now_ms(e.net) - from >= 60)
        lib.conn_deadline(e.net, conn, 60000)
        lib.conn_deadline(e.net, conn, 20)
        e:expect("timeout", conn)
        lib.conn_deadline(e.net, conn, 20)
        lib.conn_deadline(e.net, conn, 0)
        e:run_ms(50)
        assert.equal(0, e:count("timeout"))
    end)

    it("asked of a connection that is closed comes to nothing", function()
        local conns = {}
        for i = 1, 3 do
            local peer
            conns[i], peer = e:pair()
            socket.shutdown(peer, socket.SHUT_WR)
            e:expect("end", conns[i])
        end
        for i = 1, 3 do
            e:close(conns[i], "NOW")
            lib.conn_deadline(e.net, conns[i], 30)
        end
        e:run(function() return e:count("closed") == 3 end)
        for i = 3, 1, -1 do assert.equal(conns[i], (e:pair())) end -- others by the same numbers
        e:run_ms(60)
        assert.equal(0, e:count("timeout"))
    end)
end)
