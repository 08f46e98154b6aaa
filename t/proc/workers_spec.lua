--- Workers: what they are born with, and what happens when they die: src/proc/worker.c, supervise.c.
local instance = require "t.support.instance"
local process = require "t.support.process"
local server = require "t.support.server"
local signal = require "posix.signal"

local function provoke(s, path)
    local client = s:connect()
    client:send("GET " .. path .. " HTTP/1.0\r\n\r\n")
    return client
end

local function title(pid)
    return (process.read_file(("/proc/%d/cmdline"):format(pid)):gsub("%z+$", ""))
end

describe("a worker", function()
    before_each(instance.begin)
    after_each(instance.sweep)

    it("holds its sockets, its control, the logs, the memory of all workers and nothing else of its master", function()
        local folder = server.folder()
        local s = instance.start(("workers 3\nlisten 127.0.0.1:0\nlisten unix:%s/u.sock\naccess_log %s/access\nerror_log %s/error")
            :format(folder, folder, folder))
        for _ = 1, 20 do
            local seen = {}
            for number, target in s:get("/descriptors").body:gmatch("(%d+) ([^\n]+)\n") do
                if tonumber(number) == 0 then
                    assert.equal("/dev/null", target)
                elseif tonumber(number) > 2 then
                    local kind = target:match("^socket") or target:match("[^/]+$")
                    seen[kind] = (seen[kind] or 0) + 1
                end
            end
            -- two listeners and the control socket
            assert.same({ socket = 3, access = 1, error = 1, ["memfd:moongate-sources (deleted)"] = 1, ["memfd:moongate-shared (deleted)"] = 1 },
                seen)
        end
        s:stop()
    end)

    it("leaves signals to its master, so that Ctrl-C does not reach it", function()
        local s = instance.start("")
        local text = s:get("/signals").body
        local ignored = tonumber(text:match("SigIgn:%s*%x*(%x%x%x%x%x%x%x%x)"), 16)
        local blocked = text:match("SigBlk:%s*(%x+)")
        assert.equal(("0"):rep(16), blocked)
        local bit = require "bit"
        for _, number in ipairs { signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGUSR1 } do
            assert.is_true(bit.band(ignored, bit.lshift(1, number - 1)) ~= 0)
            if number ~= signal.SIGPIPE then signal.kill(s:workers()[1], number) end
        end
        assert.equal(200, s:get("/").status)
        assert.is_nil(s:stop():find("error", 1, true))
    end)

    it("shows in ps who it is, as its master does", function()
        local s = instance.start("workers 2", { name = "garden" })
        assert.equal("moongate: master garden", title(s.pid))
        local titles = {}
        for _, pid in ipairs(s:workers()) do titles[title(pid)] = true end
        assert.same({ ["moongate: worker 1 garden"] = true, ["moongate: worker 2 garden"] = true }, titles)
        s:stop()
    end)

    it("ends when its master is killed", function()
        local s = instance.start("workers 2")
        local workers = s:workers()
        s.process:signal(signal.SIGKILL)
        s.process:wait(5)
        for _, pid in ipairs(workers) do instance.wait_until(function() return not process.exists(pid) end) end
    end)

    it("is ended by the kernel when its master is killed and it does not notice", function()
        local s = instance.start("workers 2\nfake deaf\ndrain_ms 100")
        local workers = s:workers()
        provoke(s, "/spin")
        s.process:signal(signal.SIGKILL)
        s.process:wait(5)
        for _, pid in ipairs(workers) do instance.wait_until(function() return not process.exists(pid) end) end
    end)
end)

describe("a worker that dies", function()
    before_each(instance.begin)
    after_each(instance.sweep)

    it("is replaced at once; how, where, and since when if it was long, is logged", function()
        local s = instance.start("")
        local before = s:workers()[1]
        provoke(s, "/crash"):expect_close(true)
        local line = s:wait_log("[^\n]*worker 1[^\n]*; replaced[^\n]*")
        assert.matches(("^%%d+%%-%%d%%d%%-%%d%%dT%%d%%d:%%d%%d:%%d%%d%%.%%d%%d%%dZ error worker 1 %%(pid %d%%): killed by SIGABRT.*, in route /crash[^;]*; replaced at once$")
            :format(before), line)
        assert.equal(200, s:get("/").status)
        assert.are_not.equal(before, s:workers()[1])
        s:stop()
    end)

    it("costs the others nothing", function()
        local s = instance.start("workers 2")
        local victim = s:workers()[1]
        local clients = {}
        signal.kill(victim, signal.SIGSTOP)
        for i = 1, 40 do clients[i] = s:connect() end -- some are queued at the victim
        signal.kill(victim, signal.SIGKILL)
        s:wait_log("%(pid " .. victim .. "%): killed by SIGKILL; replaced at once")
        for _, client in ipairs(clients) do assert.equal(200, client:get("/").status) end -- by the next, from the same queue
        assert.equal(2, #s:workers())
        s:stop()
    end)

    it("is replaced too when it just ends", function()
        local s = instance.start("")
        provoke(s, "/exit")
        s:wait_log("worker 1 %(pid %d+%): ended with exit code 3, in route /exit[^;]*; replaced at once")
        assert.equal(200, s:get("/").status)
        s:stop()
    end)

    it("is ended and replaced when it has closed its control socket", function()
        local s = instance.start("")
        provoke(s, "/hang-up")
        s:wait_log("worker 1 %(pid %d+%): killed by SIGKILL, in route /hang%-up[^;]*; replaced at once")
        assert.equal(200, s:get("/").status)
        s:stop()
    end)

    it("is replaced ever later while it keeps dying, and the instance can still be stopped", function()
        local folder = server.folder()
        local s = instance.start("fake crash-if " .. folder .. "/broken")
        process.write_file(folder .. "/broken", "")
        provoke(s, "/crash")
        s:wait_log("replaced at once.*replaced in 100ms.*replaced in 200ms.*replaced in 400ms")
        local status = instance.status(s.name)
        assert.is_true(status.workers[1].restarts >= 4)
        assert.is_true(status.workers[1].state == "resting" or status.workers[1].state == "starting")
        os.remove(folder .. "/broken")
        s:wait_log("worker 1 %(pid %d+%): serves")
        assert.equal(200, s:get("/").status)
        s:stop()
    end)

    it("can be stopped while its replacement waits", function()
        local folder = server.folder()
        local s = instance.start("fake crash-if " .. folder .. "/broken")
        process.write_file(folder .. "/broken", "")
        provoke(s, "/crash")
        s:wait_log("replaced in 400ms")
        s:stop(signal.SIGTERM, 0, 2)
    end)

    it("says why when its replacement cannot start, and is tried again", function()
        local folder = server.folder()
        local s = instance.start("workers 1\nfake fail-if " .. folder .. "/full")
        process.write_file(folder .. "/full", "")
        provoke(s, "/crash")
        s:wait_log("error worker 1 %(pid %d+%): cannot start: no more room\n.*ended with exit code 6; replaced in 100ms")
        os.remove(folder .. "/full")
        s:wait_log("info worker 1 %(pid %d+%): serves")
        s:stop()
    end)

    it("keeps the numbers of those before it", function()
        local s = instance.start("")
        for _ = 1, 5 do s:get("/") end
        provoke(s, "/crash")
        s:wait_log("worker 1 %(pid %d+%): serves")
        s:get("/")
        local status = instance.status(s.name)
        assert.equal(6, status.total.requests)
        assert.equal(6, status.workers[1].answered["2xx"])
        assert.equal(1, status.workers[1].restarts)
        s:stop()
    end)
end)
