--- From the command line to the ready line: src/proc/candidate.c, plan.c, listen.c, holder.c, the start in master.c and supervise.c.
local instance = require "t.support.instance"
local process = require "t.support.process"
local server = require "t.support.server"
local wire = require "t.support.wire"
local signal = require "posix.signal"
local stat = require "posix.sys.stat"
local socket = require "socket"

local function listen(host, port)
    local s = assert(socket.bind(host or "127.0.0.1", port or 0))
    return s, select(2, s:getsockname())
end

local function fails(expected, lines, pattern, env)
    local began = process.now()
    local code, out, err = instance.run({ "run", instance.config(lines) }, 10, env)
    assert.equal(expected, code, err)
    assert.equal("", out)
    assert.matches(pattern, err)
    return err, process.now() - began
end

describe("the start", function()
    before_each(instance.begin)
    after_each(instance.sweep)

    it("prints one ready line with every address and the ports chosen, then accepts", function()
        local path = server.folder() .. "/gate.sock"
        local s = instance.start(("workers 2\nlisten 127.0.0.1:0\nlisten [::1]:0\nlisten :0\nlisten unix:%s"):format(path))
        assert.matches("^moongate: " .. s.name:gsub("%p", "%%%0") ..
            " serves http://127%.0%.0%.1:[1-9]%d* http://%[::1%]:[1-9]%d* http://%[::%]:[1-9]%d* unix:" .. path:gsub("%p", "%%%0") ..
            " with 2 workers$", s.ready_line)
        for _, at in ipairs(s.addresses) do
            local client = at.path and wire.connect("unix:" .. at.path) or wire.connect(at.host, at.port)
            assert.equal(200, client:get("/").status)
        end
        assert.equal(200, wire.connect("127.0.0.1", s.addresses[3].port):get("/").status) -- both families
        local _, count = s:stop():gsub(" serves http", "")
        assert.equal(1, count)
    end)

    it("is never refused after the ready line", function()
        for _ = 1, 20 do
            local s = instance.start("workers 2")
            assert.equal(200, s:get("/").status)
            s:kill()
        end
    end)

    it("spreads connections over all workers", function()
        local s = instance.start("workers 3")
        local seen, count = {}, 0
        for _ = 1, 200 do
            local pid = s:get("/pid").body
            if not seen[pid] then count = count + 1 end
            seen[pid] = true
        end
        assert.equal(3, count)
        s:stop()
    end)

    it("starts one worker for each CPU that it may use, unless told otherwise", function()
        local s = instance.start("workers auto")
        assert.equal(tonumber(io.popen("nproc"):read("*a")), #s:workers())
        s:stop()
        s = instance.start("workers 3", { workers = 2 })
        assert.equal(2, #s:workers())
        s:stop()
    end)

    it("gives back the problems of the config", function()
        assert.matches("site%.lua:1:1: no such key\n$", (fails(1, "fake plan-problem no such key", "")))
    end)

    it("ends a candidate that does not finish loading, and says so", function()
        local err, seconds = fails(1, "fake plan-hang", "", { FAKE_LOAD_MS = "200" })
        assert.matches("site%.lua did not finish loading within 200ms and was stopped", err)
        assert.is_true(seconds >= 0.2 and seconds < 2)
    end)

    it("explains a candidate that crashes or ends before it has said all", function()
        fails(1, "fake plan-crash", "site%.lua: killed by SIGABRT while loading")
        fails(1, "fake plan-partial", "ended while loading, before it had said what to serve")
        fails(1, "listen nowhere", "listen nowhere: the port is missing")
        fails(1, "workers 1", "no address to listen on")
        fails(1, "listen :0\nworkers 257", "workers 257: expected a number")
        fails(1, "listen :0\ndrain_ms -1", "drain_ms %-1: expected a number")
    end)

    it("is not held up by a process that the candidate left behind", function()
        local path = server.folder() .. "/pid"
        local s = instance.start("fake plan-exec " .. path, { seconds = 4 })
        local pid = tonumber(process.read_file(path))
        assert.is_true(process.exists(pid))
        signal.kill(pid, signal.SIGKILL)
        s:stop()
    end)

    it("can be interrupted while the candidate loads", function()
        local child = instance.spawn { "run", instance.config("fake plan-hang") }
        local candidate = instance.wait_until(function() return process.children(child.pid)[1] end)
        child:signal(signal.SIGTERM)
        assert.same({ "exited", 0 }, { child:wait(3) })
        assert.is_false(process.exists(candidate))
    end)

    it("ends with the worker's words and exit code when one cannot start", function()
        fails(5, "listen 127.0.0.1:0\nworkers 3\nfake fail 5 io_uring: refused", "^moongate: worker %d: io_uring: refused\n$")
        fails(6, "listen 127.0.0.1:0\nfake fail 0 no reason", "worker %d: no reason\n")
        local err = fails(7, "listen 127.0.0.1:0\nworkers 3\nfake fail-slot 1 7 disk full", "worker 2: disk full\n")
        assert.is_nil(err:find("serves", 1, true))
    end)

    it("ends when a worker dies or stays silent before it is ready", function()
        fails(6, "listen 127.0.0.1:0\nfake die-unready", "^moongate: worker %d: ended with exit code 9 before it was ready\n$")
        fails(6, "listen 127.0.0.1:0\nfake never-ready", "^moongate: worker %d: not ready within %S+: does a start hook wait or loop for ever%?\n$", { FAKE_START_MS = "100" })
    end)

    it("is refused when fewer open files are allowed than it needs", function()
        local file = instance.config("listen 127.0.0.1:0")
        local code, _, err = process.run({ "/bin/sh", "-c", 'ulimit -n 40; exec "$0" run "$1" --workers 8', instance.fake, file,
            env = { MOONGATE_RUNTIME_DIR = instance.runtime() } }, 10)
        assert.equal(7, code, err)
        assert.matches("^moongate: 40 open files are allowed, 8 workers need at least %d+: raise the limit %(ulimit %-n%) or start fewer "
            .. "%(%-%-workers%)\n$", err)
    end)

    it("starts the first worker alone when there are once-hooks", function()
        local lines = "listen 127.0.0.1:0\nworkers 2\nfake never-ready 0\nfake fail-slot 1 9 too early"
        fails(6, lines .. "\nonce 1", "^moongate: worker 1: not ready within %S+: does a start hook wait or loop for ever%?\n$", { FAKE_START_MS = "150" })
        fails(9, lines, "^moongate: worker 2: too early\n$", { FAKE_START_MS = "5000" })
        local s = instance.start("workers 3\nonce 1")
        local first = {}
        for _ = 1, 100 do
            local client = s:connect()
            local number = client:get("/number").body
            first[number] = true
        end
        assert.same({ ["0"] = true, ["1"] = true, ["2"] = true }, first)
        s:stop()
    end)

    it("runs once-hooks in the first worker once, not in its replacement", function()
        local s = instance.start("once 1")
        assert.equal("1", s:get("/first").body)
        s:connect():send("GET /crash HTTP/1.0\r\n\r\n")
        s:wait_log("worker 1 %(pid %d+%): serves")
        assert.equal("0", s:get("/first").body)
        s:stop()
    end)
end)

describe("an address in use", function()
    before_each(instance.begin)
    after_each(instance.sweep)

    it("fails within a second and names who holds it", function()
        local held, port = listen()
        local holder = ("address already in use by luajit %%(pid %d%%)"):format(require "posix.unistd".getpid())
        for _, address in ipairs { "127.0.0.1:", ":", "0.0.0.0:", "localhost:" } do
            local err, seconds = fails(3, "listen " .. address .. port, "listen " .. address .. port .. ": " .. holder)
            assert.matches("^moongate: [^\n]*\n$", err)
            assert.is_true(seconds < 1)
        end
        held:close()
    end)

    it("is refused to a second instance of the same user", function()
        local s = instance.start("workers 2")
        fails(3, "listen 127.0.0.1:" .. s.port, ("in use by moongate%%S* %%(pid %d%%)"):format(s.pid))
        s:stop()
    end)

    it("goes to exactly one of several that start at the same time", function()
        local held, port = listen()
        held:close()
        local children = {}
        for i = 1, 6 do
            children[i] = instance.spawn { "run", instance.config("workers 2\nlisten 127.0.0.1:" .. port), "--name", "n" .. i }
        end
        local serving, refused = 0, 0
        for _, child in ipairs(children) do
            local line = instance.wait_file(child.stderr_path, "[^\n]+\n")
            if line:match("serves") then serving = serving + 1 end
            if line:match("already in use by moongate") then refused = refused + 1 end
        end
        assert.same({ 1, 5 }, { serving, refused })
    end)

    it("is told apart from an address that is given twice", function()
        local held, port = listen()
        held:close()
        fails(3, ("listen 127.0.0.1:%d\nlisten 127.0.0.1:%d"):format(port, port), "given twice")
    end)

    it("may be of one family only", function()
        local held, port = listen()
        local code, _, err = instance.run({ "run", instance.config("listen [::1]:" .. port .. "\nfake fail 9 got this far") })
        assert.equal(9, code, err)
        held:close()
    end)

    it("is waited for with --wait-for-port, with one line", function()
        local held, port = listen()
        local child = instance.spawn { "run", instance.config("listen 127.0.0.1:" .. port), "--wait-for-port=20", "--name", "w" }
        instance.wait_file(child.stderr_path, "warn listen [^\n]+ in use by luajit [^\n]+; waiting for it up to 20s\n")
        assert.equal("waiting for a port", instance.status("w").state)
        held:close()
        instance.wait_file(child.stderr_path, "serves http")
        local _, lines = process.read_file(child.stderr_path):gsub("\n", "")
        assert.equal(2, lines)
        child:signal(signal.SIGTERM)
        assert.same({ "exited", 0 }, { child:wait(3) })
    end)

    it("is not waited for longer than that, nor after a signal", function()
        local held, port = listen()
        local code, _, err = instance.run({ "run", instance.config("listen 127.0.0.1:" .. port), "--wait-for-port=0.3" }, 5)
        assert.equal(3, code)
        assert.matches("waiting for it up to 300ms\nmoongate: listen", err)
        local child = instance.spawn { "run", instance.config("listen 127.0.0.1:" .. port), "--wait-for-port" }
        instance.wait_file(child.stderr_path, "waiting for it up to 30s")
        child:signal(signal.SIGINT)
        assert.same({ "exited", 0 }, { child:wait(3) })
        held:close()
    end)

    it("can be taken over from connections that linger", function()
        local s = instance.start("")
        local port = s.port
        s:get("/") -- the server closes first: its end stays in TIME_WAIT
        s:stop()
        s = instance.start("listen 127.0.0.1:" .. port)
        s:stop()
    end)
end)

describe("an address that cannot be", function()
    before_each(instance.begin)
    after_each(instance.sweep)

    it("is explained when it is not of this machine", function()
        fails(3, "listen 192.0.2.1:8080", "listen 192%.0%.2%.1:8080: this machine has no such address")
    end)

    it("is explained when the port is for root", function()
        local file = instance.config("listen 127.0.0.1:1")
        if require "posix.unistd".getuid() ~= 0 then
            local code, _, err = instance.run { "run", file }
            assert.equal(3, code)
            assert.matches("permission denied: .*CAP_NET_BIND_SERVICE", err)
            return
        end
        local folder = server.folder()
        os.execute(("cp '%s' '%s/moongate' && cp '%s' '%s/c.lua' && chmod 777 '%s'"):format(instance.fake, folder, file, folder, folder))
        local code, _, err = process.run({ "setpriv", "--reuid", "65534", "--clear-groups", "--bounding-set", "-all", "env",
            "MOONGATE_RUNTIME_DIR=" .. folder .. "/rt", folder .. "/moongate", "run", folder .. "/c.lua" }, 5)
        assert.equal(3, code, err)
        assert.matches("listen 127%.0%.0%.1:1: permission denied: .*CAP_NET_BIND_SERVICE.*ip_unprivileged_port_start=1\n", err)
    end)
end)

describe("a unix socket", function()
    before_each(instance.begin)
    after_each(instance.sweep)

    local function socket_file()
        return server.folder() .. "/gate.sock"
    end

    it("is one for all workers, for owner and group alone, and gone at the end", function()
        local path = socket_file()
        local s = instance.start("workers 2\nlisten unix:" .. path)
        assert.equal(432, stat.stat(path).st_mode % 512) -- 0660
        assert.equal(200, s:get("/").status)
        s:stop()
        assert.is_nil(stat.stat(path))
    end)

    it("replaces what a dead program left", function()
        local path = socket_file()
        local s = instance.start("listen unix:" .. path)
        s:kill()
        assert.is_not_nil(stat.stat(path))
        s = instance.start("listen unix:" .. path)
        assert.equal(200, s:get("/").status)
        s:stop()
    end)

    it("is refused while somebody answers on it, and left alone", function()
        local path = socket_file()
        local s = instance.start("listen unix:" .. path)
        fails(3, "listen unix:" .. path, ("unix:%%S+: address already in use by moongate%%S* %%(pid %d%%)"):format(s.pid))
        assert.equal(200, s:get("/").status)
        s:stop()
    end)

    it("never replaces a file that is no socket", function()
        local path = process.write_file(socket_file(), "precious")
        fails(3, "listen unix:" .. path, "the file exists and is not a socket")
        assert.equal("precious", process.read_file(path))
    end)

    it("is left alone at the end when somebody else has put his there", function()
        local path = socket_file()
        local s = instance.start("listen unix:" .. path)
        os.remove(path)
        process.write_file(path, "his")
        s:stop()
        assert.equal("his", process.read_file(path))
    end)
end)
