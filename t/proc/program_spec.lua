--- The whole program under the processes: scripts, folders and upstreams are served, checked, stopped.
local instance = require "t.support.instance"
local process = require "t.support.process"
local server = require "t.support.server"
local signal = require "posix.signal"

describe("moongate", function()
    before_each(function()
        instance.begin()
        server.binary = instance.real
    end)
    after_each(instance.sweep)

    local hello = [[
local app = require "moongate".app()
app:get("/", function(req) return "Hello, World!" end)
return app
]]

    it("runs a script with workers, shows it in status, and stops", function()
        local s = instance.start(hello, { workers = 2 })
        for _ = 1, 20 do assert.equal("Hello, World!", s:get("/").body) end
        assert.equal(404, s:get("/nowhere").status)
        local status = instance.status(s.name)
        assert.equal("serving", status.state)
        assert.equal(20, status.total.answered["2xx"])
        assert.equal(1, status.total.answered["4xx"])
        local workers = s:workers()
        assert.equal(0, (instance.run { "stop", "--name", s.name }))
        s:wait_end(0, 1, workers)
    end)

    it("serves a folder and passes requests to an upstream", function()
        local folder = server.folder { ["index.html"] = "<p>the garden", ["a.txt"] = "text" }
        local files = instance.start("", { command = { "serve", folder, "--port", "0" }, listen = {}, name = "files" })
        assert.equal("text", files:get("/a.txt").body)
        local gate = instance.start("", { command = { "proxy", "127.0.0.1:0", "127.0.0.1:" .. files.port }, listen = {}, name = "gate" })
        assert.equal("text", gate:get("/a.txt").body)
        gate:stop()
        files:stop()
    end)

    it("says what is wrong with a config: check, and run, which listens nowhere then", function()
        local bad = instance.config("return 42")
        local code, _, err = instance.run { "check", bad }
        assert.equal(1, code)
        assert.matches("site%.lua", err)
        local run_code, _, run_err = instance.run { "run", bad }
        assert.equal(1, run_code)
        assert.matches("site%.lua", run_err)
        assert.equal(1, (instance.run { "run", "/nowhere/at/all.lua" }))
        assert.equal(0, (instance.run { "check", instance.config(hello) }))
    end)

    it("replaces a worker that is killed; clients are served", function()
        local s = instance.start(hello, { workers = 2 })
        local victim = s:workers()[1]
        signal.kill(victim, signal.SIGKILL)
        s:wait_log("worker %d %(pid " .. victim .. "%): killed by SIGKILL; replaced at once")
        s:wait_log("worker %d %(pid %d+%): serves")
        for _ = 1, 20 do assert.equal(200, s:get("/").status) end
        s:stop()
    end)

    it("keeps no descriptor of the master in a worker", function()
        local s = instance.start(hello, { workers = 3 })
        local sockets = {}
        for _, pid in ipairs(s:workers()) do
            for link in io.popen(("readlink /proc/%d/fd/*"):format(pid)):lines() do
                local id = link:match("^socket:%[(%d+)%]")
                if id then assert.equal(pid, sockets[id] or pid) end -- nobody shares a listener or a control socket
                if id then sockets[id] = pid end
                assert.is_nil(link:find(".sock", 1, true))
                assert.is_nil(link:find(".lock", 1, true))
                assert.is_nil(link:find("signalfd", 1, true))
            end
        end
        assert.is_not_nil(next(sockets))
        s:stop()
    end)

    it("ends its workers when the master is killed", function()
        local s = instance.start(hello, { workers = 2 })
        local workers = s:workers()
        s.process:signal(signal.SIGKILL)
        s.process:wait(5)
        for _, pid in ipairs(workers) do instance.wait_until(function() return not process.exists(pid) end, 5) end
    end)
end)
