--- What only the engine on epoll has to take care of: sockets that others share, descriptors that change hands, threads for files.
local ffi = require "ffi"
local bit = require "bit"
local fcntl = require "posix.fcntl"
local socket = require "posix.sys.socket"
local unistd = require "posix.unistd"
local engine = require "t.net.engine"

local lib = engine.lib
local EPOLL, RING = lib.ENGINE_EPOLL, lib.ENGINE_IO_URING
local RESOLVE_BENEATH, MSG_OOB = 8, 1

--- An engine of this kind; nil where the kernel has none.
local function try(kind)
    local ok, e = pcall(engine.new, { engine = kind, connections = 500 })
    return ok and e or nil
end

describe("an engine on epoll", function()
    local e
    before_each(function() e = engine.new { engine = EPOLL } end)
    after_each(engine.sweep)

    it("is what it was asked to be", function()
        assert.equal("epoll", ffi.string(lib.net_engine_name(lib.net_engine(e.net))))
    end)

    it("is not held up by a client whom another one took from the queue", function()
        local fd, address = engine.listener()
        local engines = { try(EPOLL), try(EPOLL) }
        for _, one in ipairs(engines) do assert.equal(0, lib.net_listen(one.net, fd, 1)) end
        local began, taken = engine.clock_ms(), 0
        for _ = 1, 200 do
            engine.close(engine.connect(address))
            for _, one in ipairs(engines) do one:turn() end
        end
        for _, one in ipairs(engines) do
            one:run_ms(1)
            taken = taken + one:count("accepted")
        end
        assert.equal(200, taken)
        assert.is_true(engine.clock_ms() - began < 5000)
    end)

    it("accepts those whom another one, at its bound, leaves in the queue", function()
        local fd, address = engine.listener()
        local small = engine.new { engine = EPOLL, connections = 8 }
        for _, one in ipairs { e, small } do assert.equal(0, lib.net_listen(one.net, fd, 1)) end
        for i = 1, 60 do
            engine.connect(address)
            e:spin(function()
                small:turn()
                return e:count("accepted") + small:count("accepted") == i
            end)
        end
    end)

    it("shares a socket with one on io_uring, whoever of them began", function()
        for _, order in ipairs { { EPOLL, RING }, { RING, EPOLL } } do
            local first, second = try(order[1]), try(order[2])
            if not first or not second then return pending("no io_uring here") end
            local fd, address = engine.listener()
            assert.equal(0, lib.net_listen(first.net, fd, 1))
            first:turn()
            assert.equal(0, lib.net_listen(second.net, fd, 1))
            second:turn()
            for i = 1, 100 do
                engine.close(engine.connect(address))
                first:spin(function()
                    second:turn()
                    return first:count("accepted") + second:count("accepted") == i
                end)
            end
            local turns = tonumber(second:facts().enters)
            second:run_ms(20) -- nobody is kept awake by a socket that does not block
            assert.is_true(tonumber(second:facts().enters) - turns < 40)
        end
    end)

    it("leaves a socket that it stops listening on without a limit of its own", function()
        local _, fd = e:listen(1)
        e:turn()
        lib.net_listen_stop(e.net, 1)
        e:turn()
        local limit, bytes = ffi.new("long[2]", 7, 7), ffi.new("unsigned[1]", 16)
        ffi.cdef "int getsockopt(int fd, int level, int name, void *value, unsigned *bytes);"
        assert.equal(0, ffi.C.getsockopt(fd, socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit, bytes))
        assert.same({ 0, 0 }, { tonumber(limit[0]), tonumber(limit[1]) })
    end)

    it("watches on when the descriptor it was told is closed, and leaves alone who gets its number", function()
        local from, to = unistd.pipe()
        engine.keep(from)
        engine.keep(to)
        assert.equal(0, lib.net_watch(e.net, from, 9))
        local address = e:listen(1)
        e:turn()
        engine.close(from)
        local peer = engine.connect(address)
        local conn = e:expect("accepted").conn
        lib.net_unwatch(e.net, 9)
        socket.send(peer, "still heard")
        assert.equal("still heard", e:expect_bytes(conn, 11))
    end)

    it("tells what happened in its order, of connections and watched descriptors", function()
        local from, to = unistd.pipe()
        engine.keep(from)
        engine.keep(to)
        local conn, peer = e:pair()
        local address = e:listen(2)
        assert.equal(0, lib.net_watch(e.net, from, 9))
        e:turn()
        for _ = 1, 5 do
            e.events = {}
            unistd.write(to, "x")
            socket.send(peer, "after")
            e:turn(1)
            assert.same({ "ready", "bytes" }, { e.events[1].kind, e.events[2].kind })
            unistd.read(from, 10)
            e.events = {}
            socket.send(peer, "before")
            unistd.write(to, "x")
            e:turn(1)
            assert.same({ "bytes", "ready" }, { e.events[1].kind, e.events[2].kind })
            unistd.read(from, 10)
            e.events = {}
            socket.send(engine.connect(address), "fresh")
            unistd.write(to, "x")
            e:turn(1)
            assert.same({ "accepted", "bytes", "ready" }, { e.events[1].kind, e.events[2].kind, e.events[3].kind })
            unistd.read(from, 10)
        end
        assert.is_number(conn)
    end)

    it("reads what comes behind urgent bytes", function()
        local conn, peer = e:pair()
        socket.send(peer, "before")
        ffi.cdef "long send(int fd, const void *bytes, unsigned long count, int flags);"
        assert.equal(1, tonumber(ffi.C.send(peer, "!", 1, MSG_OOB)))
        socket.send(peer, "behind")
        assert.equal("beforebehind", e:expect_bytes(conn, 12))
    end)

    it("fails at once to connect to a Unix socket whose queue is full", function()
        local folder = os.tmpname()
        os.remove(folder)
        local fd, address = engine.listener(folder .. ".sock", 0)
        assert.is_number(fd)
        local failed
        for _ = 1, 8 do
            e:connect(address, 5)
            e:turn()
            for _, event in ipairs(e.events) do failed = failed or event.kind == "failed" and event.result end
        end
        os.remove(folder .. ".sock")
        assert.equal(-11, failed)
    end)
end)

describe("files of an engine on epoll", function()
    local e, buffer
    before_each(function() e, buffer = engine.new { engine = EPOLL }, ffi.new("char[65536]") end)
    after_each(engine.sweep)

    local function pipe()
        local from, to = unistd.pipe()
        return engine.keep(from), engine.keep(to)
    end

    it("are read while others wait for a pipe, which is read when there is something", function()
        local from, to = pipe()
        assert.equal(0, lib.net_read(e.net, from, buffer, 5, 0, 1, 0))
        local fd = engine.keep(fcntl.open("README.md", fcntl.O_RDONLY))
        for i = 1, 50 do assert.equal(0, lib.net_read(e.net, fd, buffer + 1000, 500, i, 2, i)) end
        e:run(function() return e:count("done") == 50 end)
        unistd.write(to, "piped")
        e:run(function() return e:count("done") == 51 end)
        local last = e.events[51]
        assert.same({ 1, 5, "piped" }, { last.user, last.result, ffi.string(buffer, 5) })
    end)

    it("do not keep the engine from its end", function()
        local from = pipe()
        for _ = 1, 20 do assert.equal(0, lib.net_read(e.net, from, buffer, 5, 0, 1, 0)) end
        e:turn()
        local began = engine.clock_ms()
        engine.sweep()
        assert.is_true(engine.clock_ms() - began < 2000)
    end)

    it("that are opened and not asked for any more are closed at its end", function()
        local before = #require("posix.dirent").dir("/proc/self/fd")
        local other = engine.new { engine = EPOLL }
        local root = engine.keep(fcntl.open("/", bit.bor(fcntl.O_RDONLY, 0x10000)))
        for _ = 1, 20 do assert.equal(0, lib.net_open(other.net, root, "etc/passwd", 0x80000, RESOLVE_BENEATH, 3, 0)) end
        local opened = 0
        other:run(function()
            for _, event in ipairs(other.events) do
                if event.kind == "done" and event.result >= 0 then
                    unistd.close(event.result)
                    opened, event.kind = opened + 1, "seen"
                end
            end
            return opened == 20
        end)
        engine.sweep()
        assert.is_true(#require("posix.dirent").dir("/proc/self/fd") <= before)
    end)

    it("that cannot be are told with the kernel's error", function()
        local root = engine.keep(fcntl.open("/", bit.bor(fcntl.O_RDONLY, 0x10000)))
        lib.net_open(e.net, root, "no/such/file", 0, RESOLVE_BENEATH, 3, 0)
        assert.equal(-2, e:expect("done").result)
        lib.net_open(e.net, root, "../etc/passwd", 0, RESOLVE_BENEATH, 3, 0)
        assert.equal(-18, e:expect("done").result)
        lib.net_open(e.net, root, "etc/passwd", 0, 2 ^ 40, 3, 0) -- no such flag
        assert.equal(-22, e:expect("done").result)
        local from = pipe()
        lib.net_write(e.net, from, "x", 1, 0, 3, 0)
        assert.equal(-9, e:expect("done").result)
    end)
end)
