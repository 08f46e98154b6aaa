--- The end of an instance: SIGTERM, SIGINT, `moongate stop`, limits: src/proc/master.c, supervise.c.
local instance = require "t.support.instance"
local process = require "t.support.process"
local wire = require "t.support.wire"
local signal = require "posix.signal"

describe("stopping", function()
    before_each(instance.begin)
    after_each(instance.sweep)

    local function runtime_is_empty()
        for name in require "lfs".dir(instance.runtime()) do
            assert.is_true(name == "." or name == ".." , name)
        end
    end

    for _, name in ipairs { "SIGTERM", "SIGINT" } do
        it("works by " .. name .. ": exit code 0, port free, nothing left", function()
            local s = instance.start("workers 2")
            local log = s:stop(signal[name])
            assert.matches(" info " .. s.name:gsub("%p", "%%%0") .. ": " .. name .. ": finishing requests, at most 30s\n", log)
            assert.matches(": stopped: 2 finished, 0 cut off\n$", log)
            assert.is_true(wire.is_refused("127.0.0.1", s.port))
            runtime_is_empty()
        end)
    end

    it("by command answers when all is over", function()
        local s = instance.start("workers 2")
        local workers = s:workers()
        local code, out, err = instance.run { "stop", "--name", s.name }
        assert.same({ 0, "" }, { code, err })
        assert.matches("^" .. s.name:gsub("%p", "%%%0") .. ": stopped after %d+ms: 2 workers finished\n$", out)
        assert.is_true(wire.is_refused("127.0.0.1", s.port))
        assert.is_false(process.exists(s.pid))
        s:wait_end(0, 1, workers)
        runtime_is_empty()
    end)

    it("waits for requests in flight", function()
        local s = instance.start("fake slow-drain")
        local client = s:connect()
        client:send("GET /hold HTTP/1.0\r\n\r\n")
        client:read()
        s:signal(signal.SIGTERM)
        s:wait_log("finishing requests")
        local status = instance.status(s.name)
        assert.equal("stopping", status.state)
        assert.equal("draining", status.workers[1].state)
        client:expect_silence(0.1)
        client:close()
        assert.matches("1 finished, 0 cut off", s:wait_end(0))
    end)

    it("ends workers that do not finish when the limit and a second have passed", function()
        local s = instance.start("workers 2\nfake hang-on-drain\ndrain_ms 200")
        local began = process.now()
        local log = s:stop()
        local seconds = process.now() - began
        assert.is_true(seconds >= 1.2 and seconds < 3, tostring(seconds))
        assert.matches("warn [^\n]*: stopped: 0 finished, 2 cut off", log)
    end)

    it("kills workers that hear nothing", function()
        local s = instance.start("fake deaf\ndrain_ms 0")
        local began = process.now()
        s:stop()
        assert.is_true(process.now() - began < 4)
    end)

    it("is done at once at the second signal", function()
        local s = instance.start("fake hang-on-drain")
        s:signal(signal.SIGINT)
        s:wait_log("finishing requests")
        s:signal(signal.SIGINT)
        local log = s:wait_end(0, 1)
        assert.matches("SIGINT again: stopping now", log)
    end)

    it("by command tells how it went when workers were cut off", function()
        local s = instance.start("fake hang-on-drain\ndrain_ms 50")
        local workers = s:workers()
        local code, out = instance.run { "stop", "--name", s.name }
        assert.equal(0, code)
        assert.matches("stopped after 1%.?%d*s: 0 workers finished, 1 cut off with requests in flight\n$", out)
        s:wait_end(0, 1, workers)
    end)

    it("answers everybody who asked", function()
        local s = instance.start("fake hang-on-drain\ndrain_ms 100")
        local workers = s:workers()
        local clients = {}
        for i = 1, 3 do
            clients[i] = wire.connect("unix:" .. instance.runtime() .. "/" .. s.name .. ".sock")
            clients[i]:send("stop\n")
        end
        for _, client in ipairs(clients) do assert.matches("^wait %d+\n.*: stopped after", client:read_to_end()) end
        s:wait_end(0, 1, workers)
    end)

    it("works while the workers start", function()
        local child = instance.spawn { "run", instance.config("listen 127.0.0.1:0\nfake never-ready"), "--name", "n" }
        instance.wait_until(function()
            local _, out = instance.run { "status", "--json", "--name", "n" }
            return out:find('"state":"starting"', 1, true)
        end)
        child:signal(signal.SIGTERM)
        instance.wait_file(child.stderr_path, "finishing requests")
        child:signal(signal.SIGTERM)
        assert.same({ "exited", 0 }, { child:wait(5) })
    end)
end)
