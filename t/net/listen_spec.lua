--- Accepting: several listeners, the bound of connections, no descriptors left, stopping. And watching descriptors.
local fcntl = require "posix.fcntl"
local resource = require "posix.sys.resource"
local socket = require "posix.sys.socket"
local unistd = require "posix.unistd"
local engine = require "t.net.engine"
local lib = engine.lib

describe("listening", function()
    local e
    before_each(function() e = engine.new() end)
    after_each(engine.sweep)

    it("tells listeners apart", function()
        local unix = os.tmpname() .. ".sock"
        local where = { "127.0.0.1", "::1", unix, "127.0.0.1" }
        for number = 4, 1, -1 do
            local address = e:listen(number, where[number])
            for _ = 1, 3 do
                engine.connect(address)
                assert.equal(number, e:expect("accepted").owner)
            end
        end
        os.remove(unix)
    end)

    it("accepts all who came before it looked", function()
        local address = e:listen(1)
        for _ = 1, 50 do engine.connect(address) end
        e:run(function() return e:count("accepted") == 50 end)
        local seen = {}
        for _, event in ipairs(e.events) do
            assert.is_nil(seen[event.conn])
            seen[event.conn] = true
        end
        assert.equal(50, e:facts().connections)
    end)

    it("takes as many listeners as it is given, and one that stopped makes room", function()
        local addresses = {}
        for number = 1, 200 do addresses[number] = e:listen(number) end
        for number = 1, 199 do
            lib.net_listen_stop(e.net, number)
            e:turn()
        end
        addresses[1] = e:listen(201)
        for _, number in ipairs { 1, 200 } do engine.connect(addresses[number]) end
        e:run(function() return e:count("accepted") == 2 end)
    end)

    it("ends: who waits in the socket's queue is accepted, then the socket is closed", function()
        local address, fd = e:listen(1)
        local own = unistd.dup(fd)
        for _ = 1, 30 do engine.connect(address) end
        lib.net_listen_end(e.net, 1)
        e:run(function() return e:count("accepted") == 30 end)
        e:run_ms(20)
        assert.is_nil((fcntl.fcntl(fd, fcntl.F_GETFD)))
        engine.connect(address) -- another descriptor of it is open: nobody accepts here any more
        e:run_ms(20)
        assert.equal(30, e:count("accepted"))
        engine.accept(own)
    end)

    it("stops: who comes later waits in the socket's queue, who was accepted is served", function()
        local address, fd = e:listen(1)
        e:turn()
        local before = engine.connect(address)
        assert(lib.net_turn(e.net, 0) == 0) -- it is recorded, not told
        lib.net_listen_stop(e.net, 1)
        local conn = e:expect("accepted").conn
        assert.equal(0, e:write(conn, "served"))
        assert.equal("served", (e:read(before, 6)))
        local later = engine.connect(address)
        e:run_ms(20)
        assert.equal(0, e:count("accepted"))
        socket.send(engine.accept(fd), "by another")
        assert.equal("by another", (e:read(later, 10)))
    end)

    it("stops and starts again on the same socket", function()
        local address, fd = e:listen(1)
        for number = 2, 20 do
            e:turn()
            lib.net_listen_stop(e.net, number - 1)
            assert.equal(0, lib.net_listen(e.net, fd, number))
            engine.connect(address)
            local owner = e:expect("accepted").owner
            assert.is_true(owner == number or owner == number - 1)
        end
    end)

    it("gives up a descriptor that is no listening socket, and goes on", function()
        local fd = engine.keep(socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0))
        assert.equal(0, lib.net_listen(e.net, fd, 1))
        local turns = tonumber(e:facts().turns)
        e:run_ms(20)
        assert.is_true(tonumber(e:facts().turns) - turns < 8)
        engine.connect(e:listen(2))
        assert.equal(2, e:expect("accepted").owner)
    end)

    it("pauses at the bound of connections and goes on below it", function()
        e = engine.new { connections = 4 }
        local address = e:listen(1)
        local peers, conns = {}, {}
        for i = 1, 4 do
            peers[i] = engine.connect(address)
            conns[i] = e:expect("accepted").conn
        end
        assert.equal(0, e:facts().paused)
        e:turn()
        e:turn()
        assert.equal(1, e:facts().paused)
        for i = 5, 7 do peers[i] = engine.connect(address) end
        e:run_ms(30)
        assert.equal(0, e:count("accepted"))
        assert.equal(4, e:facts().connections)
        e:close(conns[1], "NOW")
        e:expect("closed", conns[1])
        for i = 5, 7 do conns[i] = e:expect("accepted").conn end -- all who wait, at once
        e:turn()
        e:turn()
        assert.equal(1, e:facts().paused)
        for i = 2, 7 do e:close(conns[i], "NOW") end
        e:run(function() return e:count("closed") == 6 end)
        engine.connect(address)
        e:expect("accepted")
        assert.equal(0, e:facts().paused)
    end)

    it("pauses and resumes in quick succession without losing anybody", function()
        e = engine.new { connections = 2 }
        local address = e:listen(1)
        local served = 0
        for _ = 1, 60 do engine.connect(address) end
        e.on = function(event)
            if event.kind == "accepted" then
                served = served + 1
                e:close(event.conn, served % 2 == 0 and "NOW" or "FLUSH")
            end
        end
        e:run(function() return served == 60 end)
        e:run(function() return e:facts().connections == 0 end)
    end)
end)

describe("without a free descriptor", function()
    local e, address, hard, soft, fillers
    local LIMIT = 160

    local function fill()
        fillers = {}
        while true do
            local fd = fcntl.open("/dev/null", fcntl.O_RDONLY)
            if not fd then return end
            fillers[#fillers + 1] = fd
        end
    end
    local function empty()
        for _, fd in ipairs(fillers) do unistd.close(fd) end
        fillers = {}
    end

    before_each(function()
        local limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        soft, hard = limits.rlim_cur, limits.rlim_max
        assert(resource.setrlimit(resource.RLIMIT_NOFILE, { rlim_cur = LIMIT, rlim_max = hard }))
        e = engine.new()
        address = e:listen(1)
    end)
    after_each(function()
        empty()
        engine.sweep()
        resource.setrlimit(resource.RLIMIT_NOFILE, { rlim_cur = soft, rlim_max = hard })
    end)

    it("those who come are closed, not left waiting, and the worker neither hangs nor spins", function()
        local peers = {}
        for i = 1, 5 do peers[i] = engine.connect(address) end
        fill()
        for i = 1, 5 do
            local text, ended = e:read(peers[i], 1)
            assert.is_true(text == "" and ended)
        end
        assert.equal(0, e:count("accepted"))
        local turns = tonumber(e:facts().turns)
        e:run_ms(150)
        assert.is_true(tonumber(e:facts().turns) - turns < 12)
        empty()
        engine.connect(address)
        e:expect("accepted")
        engine.connect(address)
        e:expect("accepted")
    end)

    it("connecting says so", function()
        fill()
        local conn, error = e:connect(address)
        assert.is_nil(conn)
        assert.equal(-24, error)
    end)
end)

describe("a watched descriptor", function()
    local e
    before_each(function() e = engine.new() end)
    after_each(engine.sweep)

    local function pipe()
        local from, to = unistd.pipe()
        return engine.keep(from), engine.keep(to)
    end

    it("is told each time it becomes readable, until it is not watched any more", function()
        local from, to = pipe()
        assert.equal(0, lib.net_watch(e.net, from, 1234))
        e:run_ms(5)
        assert.equal(0, e:count("ready"))
        for round = 1, 10 do
            unistd.write(to, "x")
            assert.equal(1234, e:expect("ready").user)
            assert.equal("x", unistd.read(from, 10))
            e:run_ms(round % 2)
        end
        lib.net_unwatch(e.net, 1234)
        unistd.write(to, "x")
        e:run_ms(10)
        e:run_ms(10)
        e.events = {}
        unistd.write(to, "x")
        e:run_ms(10)
        assert.equal(0, e:count("ready"))
    end)

    it("is told of the other end's closing", function()
        local from, to = pipe()
        assert.equal(0, lib.net_watch(e.net, from, 5))
        e:turn()
        engine.close(to)
        assert.equal(5, e:expect("ready").user)
        local turns = tonumber(e:facts().turns)
        e:run_ms(20)
        assert.is_true(tonumber(e:facts().turns) - turns < 40)
    end)

    it("is one of at most 64", function()
        local from = pipe()
        for user = 1, 64 do assert.equal(0, lib.net_watch(e.net, from, user)) end
        assert.equal(-28, lib.net_watch(e.net, from, 65))
        lib.net_unwatch(e.net, 3)
        e:turn()
        e:turn()
        assert.equal(0, lib.net_watch(e.net, from, 65))
    end)
end)
