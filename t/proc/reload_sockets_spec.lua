--- What a reload changes besides routes: addresses, the number of workers, log files, limits: src/proc/reload.c, listen.c, supervise.c.
local instance = require "t.support.instance"
local process = require "t.support.process"
local server = require "t.support.server"
local wire = require "t.support.wire"
local signal = require "posix.signal"
local socket = require "socket"

local start, reload = instance.editable, instance.reload

local function reload_well(s)
    local code, out, err = reload(s)
    assert.same({ 0, "" }, { code, err })
    return out
end

local function ask(port, path, host)
    local client = wire.connect(host or "127.0.0.1", port)
    local body = client:get(path or "/pid").body
    client:close()
    return body
end

local function states(s)
    local counts = {}
    for _, worker in ipairs(instance.status(s.name).workers) do counts[worker.state] = (counts[worker.state] or 0) + 1 end
    return counts
end

describe("an address, in a reload", function()
    before_each(instance.begin)
    after_each(instance.sweep)

    it("that is new is served by every worker, and named in the answer with its port", function()
        local s, write = start("workers 2\nlisten 127.0.0.1:0")
        write("workers 2\nlisten 127.0.0.1:0\nlisten 127.0.0.1:0\nlisten [::1]:0")
        local out = reload_well(s)
        local first, second, third = out:match("; listens on http://127.0.0.1:(%d+) http://127.0.0.1:(%d+) http://%[::1%]:(%d+)\n$")
        assert.equal(s.port, tonumber(first))
        local seen = {}
        for _ = 1, 60 do seen[ask(tonumber(second))] = true end
        for _, pid in ipairs(s:workers()) do assert.is_true(seen[tostring(pid)]) end
        assert.equal(200, wire.connect("::1", tonumber(third)):get("/").status)
        assert.equal(3, #instance.status(s.name).listen)
        write("workers 2\nlisten 127.0.0.1:0\nlisten 127.0.0.1:0\nlisten [::1]:0")
        assert.is_nil(reload_well(s):find("listens on", 1, true))
        assert.equal(200, wire.connect("127.0.0.1", tonumber(second)):get("/").status)
        s:stop()
    end)

    it("that goes away is not accepted on any more; its connections live on", function()
        local port = wire.free_port()
        local s, write = start(("fake slow-drain\nlisten 127.0.0.1:0\nlisten 127.0.0.1:%d"):format(port))
        local client = wire.connect("127.0.0.1", port)
        assert.equal("held", client:get("/hold").body)
        write("listen 127.0.0.1:0")
        assert.matches("; listens on http://127.0.0.1:" .. s.port .. "\n$", reload_well(s))
        instance.wait_until(function() return wire.is_refused("127.0.0.1", port) end)
        assert.equal(200, s:get("/").status)
        client.socket:settimeout(0)
        assert.equal("timeout", select(2, client.socket:receive(1)))
        client:close()
        write(("listen 127.0.0.1:0\nlisten 127.0.0.1:%d"):format(port)) -- and it may come back
        reload_well(s)
        assert.equal(200, wire.connect("127.0.0.1", port):get("/").status)
        s:stop()
    end)

    it("that goes away loses no connection that is queued", function()
        local port = wire.free_port()
        local s, write = start(("listen 127.0.0.1:0\nlisten 127.0.0.1:%d"):format(port))
        local worker, clients = s:workers()[1], {}
        signal.kill(worker, signal.SIGSTOP)
        for i = 1, 20 do
            clients[i] = wire.connect("127.0.0.1", port)
            clients[i]:send("GET / HTTP/1.0\r\n\r\n")
        end
        write("listen 127.0.0.1:0")
        local child = instance.spawn { "reload", "--name", s.name }
        instance.wait_until(function() return instance.status(s.name).reload.state == "preparing" end)
        signal.kill(worker, signal.SIGCONT)
        assert.same({ "exited", 0 }, { child:wait(5) })
        for _, client in ipairs(clients) do assert.equal(200, client:read().status) end
        s:stop()
    end)

    it("that cannot be listened on makes it fail: nothing has changed", function()
        local held = assert(socket.bind("127.0.0.1", 0))
        local _, port = held:getsockname()
        local s, write = start("fake say one\nlisten 127.0.0.1:0")
        write(("fake say two\nlisten 127.0.0.1:0\nlisten [::1]:0\nlisten 127.0.0.1:%d"):format(port))
        local code, _, err = reload(s)
        assert.equal(1, code)
        assert.matches("^moongate: listen 127.0.0.1:" .. port .. ": address already in use by luajit %(pid %d+%)\nnothing has changed: generation 1 serves on\n$", err)
        assert.equal("one", ask(s.port, "/say"))
        assert.equal(1, #instance.status(s.name).listen)
        held:close()
        reload_well(s)
        assert.equal("two", ask(port, "/say"))
        s:stop()
    end)

    it("may take the place of another on the same port", function()
        local port = wire.free_port()
        local s, write = start(("workers 2\nlisten 127.0.0.1:%d"):format(port))
        for _, address in ipairs { "0.0.0.0", "127.0.0.1", "*", "127.0.0.1" } do
            write(("workers 2\nlisten %s:%d"):format(address, port))
            assert.matches("; listens on http://", reload_well(s))
            for _ = 1, 20 do assert.equal(200, wire.connect("127.0.0.1", port):get("/").status) end
        end
        s:stop()
    end)

    it("that is given twice, or covered by one that stays, is refused", function()
        local port = wire.free_port()
        local s, write = start(("listen 127.0.0.1:%d"):format(port))
        for _, more in ipairs { "127.0.0.1:", "0.0.0.0:" } do
            write(("listen 127.0.0.1:%d\nlisten %s%d"):format(port, more, port))
            local code, _, err = reload(s)
            assert.equal(1, code)
            assert.matches(": given twice, or covered by another address of the same port\n", err)
        end
        s:stop()
    end)

    it("may be a unix socket; its file comes and goes with it", function()
        local path = server.folder() .. "/u.sock"
        local s, write = start("workers 2\nlisten 127.0.0.1:0")
        write("workers 2\nlisten 127.0.0.1:0\nlisten unix:" .. path)
        reload_well(s)
        for _ = 1, 20 do assert.equal(200, wire.connect("unix:" .. path):get("/").status) end
        write("workers 3\nlisten 127.0.0.1:0\nlisten unix:" .. path)
        reload_well(s)
        for _ = 1, 20 do assert.equal(200, wire.connect("unix:" .. path):get("/").status) end
        write("workers 3\nlisten 127.0.0.1:0")
        reload_well(s)
        assert.is_nil(io.open(path))
        s:stop()
    end)
end)

describe("the number of workers, in a reload", function()
    before_each(instance.begin)
    after_each(instance.sweep)

    it("grows and shrinks; the workers that stay are the same", function()
        local s, write = start("workers 2")
        local first = s:workers()
        write("workers 5")
        assert.matches("^generation 2 in 5 workers, no route changed, %d+ ms\n$", reload_well(s))
        assert.same({ serving = 5 }, states(s))
        local seen, count = {}, 0
        for _ = 1, 300 do
            local pid = ask(s.port)
            count = count + (seen[pid] and 0 or 1)
            seen[pid] = true
        end
        assert.equal(5, count)
        write("workers 2")
        assert.matches("^generation 3 in 2 workers", reload_well(s))
        instance.wait_until(function() return #s:workers() == 2 end)
        assert.same(first, s:workers())
        for _ = 1, 60 do assert.equal("3", ask(s.port, "/generation")) end
        assert.same({ serving = 2 }, states(s))
        assert.matches("info worker 5 %(pid %d+%): ended by itself, its slot being given up\n", s:stop())
    end)

    it("stays what --workers says", function()
        local s, write = start("workers 2", { workers = 3 })
        write("workers 5")
        assert.matches("^generation 2 in 3 workers", reload_well(s))
        s:stop()
    end)

    it("may change again and again under load: no connection is refused, reset or forgotten", function()
        local s, write = start("workers 1")
        local child = process.fork({}, function()
            for _ = 1, 1500 do assert(ask(s.port, "/generation")) end
        end)
        for round = 1, 12 do
            write("workers " .. (round % 3 == 0 and 1 or round % 3 == 1 and 4 or 2))
            reload_well(s)
        end
        assert.same({ "exited", 0 }, { child:wait(20) })
        s:stop()
    end)

    it("shrinks without losing what a worker that goes has queued; its requests are finished", function()
        local s, write = start("workers 2\nfake slow-drain")
        local held = {}
        for i = 1, 8 do
            held[i] = s:connect()
            assert.equal("held", held[i]:get("/hold").body)
        end
        local victim = s:workers()[2]
        signal.kill(victim, signal.SIGSTOP)
        local clients = {}
        for i = 1, 40 do
            clients[i] = s:connect()
            clients[i]:send("GET / HTTP/1.0\r\n\r\n")
        end
        write("workers 1\nfake slow-drain")
        assert.matches("^generation 2 in 1 worker,", reload_well(s))
        for _, client in ipairs(clients) do assert.equal(200, client:read().status) end -- by the worker that stays
        signal.kill(victim, signal.SIGCONT)
        instance.wait_until(function() return states(s).draining == 1 end)
        for _, client in ipairs(held) do client:close() end
        instance.wait_until(function() return #s:workers() == 1 end)
        s:stop()
    end)

    it("grows again while one that goes still finishes its requests", function()
        local s, write = start("workers 2\nfake slow-drain")
        local held = {}
        for i = 1, 8 do
            held[i] = s:connect()
            held[i]:get("/hold")
        end
        write("workers 1\nfake slow-drain")
        reload_well(s)
        assert.same({ serving = 1, draining = 1 }, states(s))
        write("workers 2\nfake slow-drain")
        assert.matches("^generation 3 in 2 workers", reload_well(s))
        assert.same({ serving = 2, draining = 1 }, states(s))
        for _ = 1, 40 do assert.equal("3", ask(s.port, "/generation")) end
        for _, client in ipairs(held) do client:close() end
        instance.wait_until(function() return #s:workers() == 2 end)
        assert.equal(2, instance.status(s.name).workers[2].number)
        s:stop()
    end)

    it("can shrink from many to one, which then has the sockets of all", function()
        local s, write = start("workers 60", { seconds = 20 })
        write("workers 1")
        reload_well(s)
        instance.wait_until(function() return #s:workers() == 1 end)
        for _ = 1, 100 do assert.equal("2", ask(s.port, "/generation")) end
        s:connect():send("GET /crash HTTP/1.0\r\n\r\n")
        s:wait_log("worker 1 %(pid %d+%): serves")
        for _ = 1, 100 do assert.equal("2", ask(s.port, "/generation")) end
        s:stop()
    end)

    it("cannot shrink so far that a worker would have too many sockets", function()
        local s, write = start("workers 33\nlisten 127.0.0.1:0\nlisten 127.0.0.1:0", { seconds = 20 })
        write("workers 1\nlisten 127.0.0.1:0\nlisten 127.0.0.1:0")
        local code, _, err = reload(s)
        assert.equal(1, code)
        assert.matches("^moongate: workers: with so few, one of them would have to serve 66 listening sockets, at most 64 are possible: "
            .. "keep more workers, or start the instance anew\nnothing has changed", err)
        write("workers 2\nlisten 127.0.0.1:0\nlisten 127.0.0.1:0")
        reload_well(s)
        s:stop()
    end)

    it("is refused when fewer open files are allowed than it needs", function()
        local file = instance.config("workers 1\nlisten 127.0.0.1:0")
        local child = process.spawn { "/bin/sh", "-c", 'ulimit -n 90; exec "$0" run "$1" --name few', instance.fake, file,
            env = { MOONGATE_RUNTIME_DIR = instance.runtime() }, stderr = process.write_file(server.folder() .. "/stderr", "") }
        instance.wait_until(function() return (instance.run { "status", "--name", "few" }) == 0 end)
        process.write_file(file, "workers 40\nlisten 127.0.0.1:0\n")
        local code, _, err = instance.run { "reload", "--name", "few" }
        assert.equal(1, code)
        assert.matches("^moongate: 90 open files are allowed, 40 workers need at least %d+: raise the limit", err)
        process.write_file(file, "workers 2\nlisten 127.0.0.1:0\n")
        assert.equal(0, (instance.run { "reload", "--name", "few" }))
        child:signal(signal.SIGTERM)
        assert.same({ "exited", 0 }, { child:wait(5) })
    end)
end)

describe("logs and limits, in a reload", function()
    before_each(instance.begin)
    after_each(instance.sweep)

    it("change for master and workers", function()
        local folder = server.folder()
        local s, write = start("workers 2\ndrain_ms 1000")
        local workers = s:workers()
        write(("workers 2\ndrain_ms 2500\nerror_log %s/error\naccess_log %s/access"):format(folder, folder))
        reload_well(s)
        for _, pid in ipairs(workers) do
            instance.wait_file(folder .. "/access", "access log taken by " .. pid .. "\n")
            instance.wait_file(folder .. "/error", "error log taken by " .. pid .. "\n")
        end
        instance.wait_file(folder .. "/error", "info reload %(moongate reload%): generation 2 ")
        local status = instance.status(s.name)
        assert.same({ folder .. "/access", folder .. "/error", 2500 }, { status.access_log, status.error_log, status.limits.drain_ms })
        write("workers 2\ndrain_ms 1000")
        reload_well(s)
        s:wait_log("info reload %(moongate reload%): generation 3 ")
        assert.is_nil(process.read_file(folder .. "/error"):find("generation 3", 1, true))
        s:stop()
    end)

    it("that cannot be opened make it fail", function()
        local s, write = start("fake say one")
        write("fake say two\nerror_log /nowhere/log")
        local code, _, err = reload(s)
        assert.equal(1, code)
        assert.equal('moongate: log.errors: cannot write "/nowhere/log": no such folder\nnothing has changed: generation 1 serves on\n', err)
        assert.equal("one", ask(s.port, "/say"))
        s:stop()
    end)
end)
