--- Log files of an instance, and the signals that concern them: src/proc/logs.c, master.c.
local instance = require "t.support.instance"
local process = require "t.support.process"
local server = require "t.support.server"
local signal = require "posix.signal"

describe("logs", function()
    before_each(instance.begin)
    after_each(instance.sweep)

    it("go to standard error unless the config says otherwise", function()
        local s = instance.start("")
        assert.matches("\n%d+%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ info ", s:stop())
    end)

    it("go to the error log, but the ready line to who started it", function()
        local folder = server.folder()
        local s = instance.start("error_log " .. folder .. "/error")
        assert.equal(s.ready_line .. "\n", s:stop())
        assert.matches("^%d+%-%S+ info [^\n]+finishing requests[^\n]+\n[^\n]+stopped: 1 finished, 0 cut off\n$", process.read_file(folder .. "/error"))
    end)

    it("are appended to, with mode 0640", function()
        local folder = server.folder { error = "before\n" }
        local s = instance.start(("error_log %s/error\naccess_log %s/access"):format(folder, folder))
        s:stop()
        assert.matches("^before\n%d", process.read_file(folder .. "/error"))
        assert.equal(416, require "posix.sys.stat".stat(folder .. "/access").st_mode % 512)
    end)

    it("that cannot be opened end the start", function()
        local code, _, err = instance.run { "run", instance.config("listen 127.0.0.1:0\nerror_log /nowhere/log") }
        assert.equal(7, code)
        assert.matches("^moongate: log.errors: cannot write \"/nowhere/log\": no such folder\n$", err)
    end)

    it("are opened anew at SIGUSR1, by master and all workers", function()
        local folder = server.folder()
        local s = instance.start(("workers 2\nerror_log %s/error\naccess_log %s/access"):format(folder, folder))
        local workers = s:workers()
        assert(os.rename(folder .. "/error", folder .. "/error.1"))
        assert(os.rename(folder .. "/access", folder .. "/access.1"))
        s:signal(signal.SIGUSR1)
        for _, pid in ipairs(workers) do
            instance.wait_file(folder .. "/access", "access log taken by " .. pid .. "\n")
            instance.wait_file(folder .. "/error", "error log taken by " .. pid .. "\n")
        end
        instance.wait_file(folder .. "/error", "info log files opened anew\n")
        assert.equal("", process.read_file(folder .. "/access.1"))
        signal.kill(workers[1], signal.SIGKILL) -- the replacement writes to the new file
        instance.wait_file(folder .. "/error", "worker %d %(pid %d+%): serves")
        for _ = 1, 20 do
            local seen = s:get("/descriptors").body
            assert.is_truthy(seen:find(folder .. "/error\n", 1, true))
            assert.is_nil(seen:find(".1\n", 1, true))
        end
        s:stop()
    end)

    it("stay the old ones when they cannot be opened anew", function()
        local folder = server.folder { ["logs/x"] = "" }
        local s = instance.start(("error_log %s/logs/error"):format(folder))
        assert(os.rename(folder .. "/logs", folder .. "/moved"))
        s:signal(signal.SIGUSR1)
        instance.wait_file(folder .. "/moved/error", "error log.errors: cannot write %S+: no such folder; the old file stays in use\n")
        s:stop()
        assert.matches("stopped", process.read_file(folder .. "/moved/error"))
    end)

    it("cannot stop the master when nobody reads them; what was lost is counted", function()
        local fcntl, unistd = require "posix.fcntl", require "posix.unistd"
        local path = server.folder() .. "/fifo"
        assert(require "posix.sys.stat".mkfifo(path, 384))
        local reader = assert(fcntl.open(path, fcntl.O_RDONLY + fcntl.O_NONBLOCK))
        local s = instance.start("error_log " .. path)
        process.write_file(s.file, "fake plan-problem " .. ("long "):rep(90))
        for _ = 1, 250 do -- each is in the log with what is wrong; a pipe holds 64 KiB
            s:signal(signal.SIGHUP)
            instance.wait_until(function() return instance.control(s.name, "status json\n"):find('"reload":{"state":"idle"', 1, true) end)
        end
        local text, more = "", nil
        repeat
            more = unistd.read(reader, 65536)
            text = text .. (more or "")
        until not more
        assert.is_true(#text > 50000) -- lines of half a kilobyte leave some room in its pages
        s:signal(signal.SIGHUP)
        local late = instance.wait_until(function()
            more = unistd.read(reader, 65536)
            return more
        end)
        assert.matches("^%S+ warn log: %d+ lines dropped, nobody took them\n%S+ error reload", late)
        unistd.close(reader)
        s:stop()
    end)
end)
