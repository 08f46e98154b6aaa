--- Names, the runtime folder and the control socket: src/proc/names.c, control.c, client.c, status.c.
local instance = require "t.support.instance"
local process = require "t.support.process"
local server = require "t.support.server"
local wire = require "t.support.wire"
local signal = require "posix.signal"
local stat = require "posix.sys.stat"

local function plain(text) return (text:gsub("%p", "%%%0")) end

describe("an instance's name", function()
    before_each(instance.begin)
    after_each(instance.sweep)

    local function name_of(words)
        local child = instance.spawn(words)
        local name = instance.wait_file(child.stderr_path, "moongate: %S+ serves"):match(": (%S+)")
        child:signal(signal.SIGTERM)
        child:wait(5)
        return name
    end

    it("is --name, else what the config says, else its file", function()
        local named = instance.config("name says config!\nlisten 127.0.0.1:0")
        assert.equal("mine", name_of { "run", named, "--name", "mine" })
        assert.equal("says-config-", name_of { "run", named })
        assert.equal("my.site", name_of { "run", instance.config("listen 127.0.0.1:0", "my.site.lua") })
        assert.equal("proxy", name_of { "proxy", "127.0.0.1:0", "127.0.0.1:9" })
    end)

    it("is taken by one instance at a time", function()
        local s = instance.start("", { name = "same" })
        local code, _, err = instance.run { "run", instance.config("listen 127.0.0.1:0"), "--name", "same" }
        assert.equal(4, code)
        assert.matches(('an instance named "same" is already running %%(pid %d%%)'):format(s.pid), err)
        assert.equal("serving", instance.status("same").state)
        s:stop()
    end)

    it("is free again when the instance was killed", function()
        local s = instance.start("", { name = "same" })
        s:kill()
        assert.is_not_nil(stat.stat(instance.runtime() .. "/same.sock"))
        local code, _, err = instance.run { "status", "--name", "same" }
        assert.equal(4, code)
        assert.matches('no instance named "same" is running\n', err)
        instance.start("", { name = "same" }):stop()
    end)

    it("is given to one of several that start at the same time", function()
        local children, serving, refused = {}, 0, 0
        for i = 1, 6 do children[i] = instance.spawn { "run", instance.config("workers 1\nlisten 127.0.0.1:0"), "--name", "one" } end
        for _, child in ipairs(children) do
            local line = instance.wait_file(child.stderr_path, "[^\n]+\n")
            if line:match("serves") then serving = serving + 1 end
            if line:match("already running") then refused = refused + 1 end
        end
        assert.same({ 1, 5 }, { serving, refused })
    end)
end)

describe("the runtime folder", function()
    before_each(instance.begin)
    after_each(instance.sweep)

    it("and what is in it are the user's alone", function()
        local s = instance.start("", { name = "mine", env = { MOONGATE_RUNTIME_DIR = instance.runtime() .. "/new" } })
        assert.equal(448, stat.stat(instance.runtime() .. "/new").st_mode % 512) -- 0700
        assert.equal(384, stat.stat(instance.runtime() .. "/new/mine.sock").st_mode % 512) -- 0600
        s:stop()
    end)

    it("is refused when others may write to it, or it is no folder", function()
        local folder = server.folder { file = "" }
        os.execute(("mkdir '%s/open' && chmod 777 '%s/open' && ln -s '%s' '%s/link'"):format(folder, folder, folder, folder))
        for _, name in ipairs { "open", "file", "link" } do
            local code, _, err = instance.run({ "run", instance.config("listen 127.0.0.1:0") }, 5, { MOONGATE_RUNTIME_DIR = folder .. "/" .. name })
            assert.equal(7, code)
            assert.matches("runtime folder %S+: not a folder of this user that is closed to others", err)
        end
    end)

    it("is explained when its path is too long or cannot be made", function()
        local code, _, err = instance.run({ "status" }, 5, { MOONGATE_RUNTIME_DIR = "/tmp/" .. ("x"):rep(100) })
        assert.equal(7, code)
        assert.matches("at most 63 bytes", err)
        code, _, err = instance.run({ "status" }, 5, { MOONGATE_RUNTIME_DIR = "/nowhere/at/all" })
        assert.equal(7, code)
        assert.matches("/nowhere/at/all: No such file", err)
    end)
end)

describe("a command to an instance", function()
    before_each(instance.begin)
    after_each(instance.sweep)

    it("goes to the only one that runs", function()
        local s = instance.start("", { name = "only" })
        local code, out = instance.run { "status" }
        assert.equal(0, code)
        assert.matches("^only: serving", out)
        s:stop()
    end)

    it("is explained when none or several run", function()
        local code, _, err = instance.run { "stop" }
        assert.same({ 4, "moongate: no instance is running\n" }, { code, err })
        local a, b = instance.start("", { name = "a" }), instance.start("", { name = "b" })
        code, _, err = instance.run { "stop" }
        assert.equal(4, code)
        assert.matches("several instances are running, choose one with %-%-name: [ab], [ab]\n$", err)
        code, _, err = instance.run { "status", "--name", "c" }
        assert.equal(4, code)
        assert.matches('no instance named "c" is running; running: [ab], [ab]\n$', err)
        assert.equal(0, (instance.run { "stop", "--name", "a" }))
        a:wait_end(0, 1, {})
        b:stop()
    end)

    it("does not wait for ever for an instance that does not answer", function()
        local s = instance.start("")
        signal.kill(s.pid, signal.SIGSTOP)
        local code, _, err = instance.run({ "status", "--name", s.name }, 8)
        signal.kill(s.pid, signal.SIGCONT)
        assert.equal(8, code)
        assert.matches("no answer in time", err)
        s:stop()
    end)
end)

describe("status", function()
    before_each(instance.begin)
    after_each(instance.sweep)

    it("tells people all that matters", function()
        local s = instance.start("workers 2\ndrain_ms 1500")
        s:get("/")
        local code, out, err = instance.run { "status" }
        assert.same({ 0, "" }, { code, err })
        assert.matches("^" .. plain(s.name) .. ": serving, pid " .. s.pid .. ", up %S+, generation 1, moongate %d", out)
        assert.matches("\nconfig  run " .. plain(s.file) .. "\n", out)
        assert.matches("\nlisten  http://127.0.0.1:" .. s.port .. "\n", out)
        assert.matches("\nlimits  drain 1.5s, backlog 4096, descriptors %d+, engine auto\n", out)
        for number, pid in ipairs { out:match("\n1 +(%d+) .*\n2 +(%d+) ") } do
            assert.matches("\n" .. number .. " +" .. pid .. "  serving +%S+ +0 +%d+ +%d+ ", out)
            assert.is_true(process.exists(tonumber(pid)))
        end
        assert.matches("\nall +0 +0 +1 +0 +1 +0 +0 +0\n", out)
        s:stop()
    end)

    it("tells programs the same in JSON", function()
        local path = server.folder() .. '/a "quoted" päth.lua'
        process.write_file(path, "workers 2\nlisten 127.0.0.1:0\nlisten [::1]:0\ndrain_ms 1500\n")
        local s = instance.start("", { file = path, listen = {}, workers = false })
        for _ = 1, 3 do s:get("/") end
        local status = instance.status(s.name)
        assert.same({ s.name, "serving", "run", path, s.pid, "off", "-" },
            { status.name, status.state, status.command, status.config, status.pid, status.access_log, status.error_log })
        assert.same({ "http://127.0.0.1:" .. s.port, "http://[::1]:" .. s.addresses[2].port }, status.listen)
        assert.equal(1500, status.limits.drain_ms)
        assert.equal(2, #status.workers)
        for number, worker in ipairs(status.workers) do
            assert.same({ number, "serving", 0 }, { worker.number, worker.state, worker.restarts })
            assert.is_true(worker.uptime_ms >= 0 and worker.uptime_ms <= status.uptime_ms)
        end
        assert.equal(3, status.total.requests)
        assert.equal(3, status.total.answered["2xx"])
        s:stop()
    end)

    it("holds for as many workers as there may be", function()
        local s = instance.start("workers 256", { seconds = 20 })
        local status = instance.status(s.name)
        assert.equal(256, #status.workers)
        s:stop()
    end)
end)

describe("the control socket", function()
    before_each(instance.begin)
    after_each(instance.sweep)

    local function dial(s) return wire.connect("unix:" .. instance.runtime() .. "/" .. s.name .. ".sock") end

    it("answers one line and closes, also when the line ends with the stream", function()
        local s = instance.start("")
        assert.matches("^{.*}\n$", instance.control(s.name, "status json\n"))
        assert.matches(": serving", instance.control(s.name, "status\nstop\n"))
        local client = dial(s)
        client:send("status json")
        client:shutdown()
        assert.matches("^{.*}\n$", client:read_to_end())
        client = dial(s)
        client:send_pieces("status json\n")
        assert.matches("^{.*}\n$", client:read_to_end())
        s:stop()
    end)

    it("refuses what it does not know", function()
        local s = instance.start("")
        assert.equal('error: unknown command "frobnicate"\n', instance.control(s.name, "frobnicate\n"))
        assert.equal('error: unknown command ""\n', instance.control(s.name, "\n"))
        assert.equal('error: unknown command "status jso"\n', instance.control(s.name, "status jso\n"))
        s:stop()
    end)

    it("takes lines of 4094 bytes and hangs up at longer ones", function()
        local s = instance.start("")
        assert.matches("^error: unknown command", instance.control(s.name, ("x"):rep(4094) .. "\n"))
        local client = dial(s)
        client:send(("x"):rep(4095))
        client:expect_close(true)
        assert.equal("serving", instance.status(s.name).state)
        s:stop()
    end)

    it("is not held up by clients that say nothing, take nothing or leave", function()
        local s = instance.start("")
        local silent = {}
        for i = 1, 31 do silent[i] = dial(s) end
        for _ = 1, 50 do
            local gone = dial(s)
            gone:send("status\n")
            gone:close()
        end
        assert.equal("serving", instance.status(s.name).state)
        s:stop()
    end)

    it("hangs up on the silent after five seconds, and serves those who had to wait behind them", function()
        local s = instance.start("")
        local silent = {}
        for i = 1, 32 do silent[i] = dial(s) end
        local client = wire.connect("unix:" .. instance.runtime() .. "/" .. s.name .. ".sock", nil, { seconds = 8 })
        client:send("status json\n")
        assert.matches("^{", client:read_to_end())
        silent[1]:expect_close()
        s:stop()
    end)
end)
