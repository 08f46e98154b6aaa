--- Live reload as the master does it: src/proc/reload.c, reload_told.c, candidate.c, the changes of listen.c and supervise.c.
local instance = require "t.support.instance"
local process = require "t.support.process"
local server = require "t.support.server"
local signal = require "posix.signal"

local function plain(text) return (text:gsub("%p", "%%%0")) end

local start, reload = instance.editable, instance.reload

local function generation(s) return tonumber(s:get("/generation").body) end

--- What the workers of an instance serve: every text that its requests get, sorted.
local function said(s)
    local seen, list = {}, {}
    for _ = 1, 40 do
        local text = s:get("/say").body
        if not seen[text] then list[#list + 1] = text end
        seen[text] = true
    end
    table.sort(list)
    return table.concat(list, " ")
end

describe("a reload", function()
    before_each(instance.begin)
    after_each(instance.sweep)

    it("puts the changed config in service in the running workers and says so in one line", function()
        local s, write = start("workers 2\nfake say one\nroute 16 aa GET /\nroute 17 bb GET /a")
        local workers = s:workers()
        assert.equal("one", said(s))
        write("workers 2\nfake say two\nroute 16 ab GET /\nroute 17 bb GET /a\nroute 18 cc GET /b")
        local code, out, err = reload(s)
        assert.same({ 0, "" }, { code, err })
        assert.matches("^generation 2 in 2 workers, 2 routes changed, %d+ ms\n$", out)
        assert.equal("two", said(s))
        assert.same(workers, s:workers())
        local status = instance.status(s.name)
        assert.same({ 2, 2, 2 }, { status.generation, status.workers[1].generation, status.workers[2].generation })
        assert.matches("\n%S+ info reload %(moongate reload%): generation 2 in 2 workers, 2 routes changed, %d+ ms\n", s:stop())
    end)

    it("counts routes that changed, came and went, also where several have one name", function()
        local s, write = start("route 16 aa GET /\nroute 17 bb GET /\nroute 18 cc GET /gone\nroute 19 dd POST /x")
        write("route 16 bb GET /\nroute 17 aa GET /\nroute 18 dd POST /x\nroute 19 cc GET /gone")
        assert.matches(", no route changed, ", select(2, reload(s)))
        write("route 16 bb GET /\nroute 17 ff GET /\nroute 18 dd POST /x")
        assert.matches(", 2 routes changed, ", select(2, reload(s)))
        write("route 16 bb GET /")
        assert.matches(", 2 routes changed, ", select(2, reload(s)))
        write("route 16 bc GET /")
        assert.matches(", 1 route changed, ", select(2, reload(s)))
        s:stop()
    end)

    it("changes nothing and gives back every problem as check prints it when there is one", function()
        local s, write = start("fake say one")
        write("fake say two\nfake plan-problem no such key")
        local code, out, err = reload(s)
        assert.same({ 1, "" }, { code, out })
        assert.equal(s.file .. ":1:1: no such key\nnothing has changed: generation 1 serves on\n", err)
        assert.equal("one", said(s))
        write("fake say three")
        assert.equal(0, (reload(s)))
        assert.equal("three", said(s))
        local log = s:stop()
        assert.matches("info reload %(moongate reload%): nothing has changed: generation 1 serves on\n", log)
        assert.is_nil(log:find("no such key", 1, true)) -- told to the one who asked
    end)

    it("explains a candidate that crashes, hangs, or ends too early, and serves on", function()
        local s, write = start("fake say one", { env = { FAKE_LOAD_MS = "300" } })
        for what, pattern in pairs { crash = "killed by SIGABRT while loading", partial = "it ended while loading",
            hang = "did not finish loading within 300ms and was stopped: is there an endless loop" } do
            write("fake plan-" .. what)
            local code, _, err = reload(s)
            assert.equal(1, code)
            assert.matches("^moongate: " .. plain(s.file) .. ":? [^\n]*" .. pattern .. "[^\n]*\nnothing has changed: generation 1 serves on\n$", err)
        end
        assert.equal("one", said(s))
        s:stop()
    end)

    it("holds nobody up while the candidate loads", function()
        local folder = server.folder()
        local s, write = start("fake say one")
        write("fake say two\nfake plan-wait " .. folder .. "/go")
        local child = instance.spawn { "reload", "--name", s.name }
        instance.wait_until(function() return #process.children(s.pid) == 2 end)
        assert.equal("one", said(s))
        assert.equal("serving", instance.status(s.name).state)
        process.write_file(folder .. "/go", "")
        assert.same({ "exited", 0 }, { child:wait(5) })
        assert.equal("two", said(s))
        s:stop()
    end)

    it("keeps what a candidate says within a bound, and logs it when it is sound", function()
        local s, write = start("")
        write("fake plan-say mind the gap")
        assert.equal(0, (reload(s)))
        assert.matches("warn reload: mind the gap\n", s:stop())
    end)

    it("joins those who ask at the same time: one runs, one more follows for all others", function()
        local folder = server.folder()
        local s, write = start("fake say one")
        write("fake say two\nfake plan-wait " .. folder .. "/go")
        local children = { instance.spawn { "reload", "--name", s.name } }
        instance.wait_file(folder .. "/go.asked", "asked")
        write("fake say three")
        for i = 2, 6 do children[i] = instance.spawn { "reload", "--name", s.name } end
        instance.wait_until(function() return instance.status(s.name).reload.waiting == 6 end)
        assert.equal("loading", instance.status(s.name).reload.state)
        assert.equal("one", said(s))
        process.write_file(folder .. "/go", "")
        for _, child in ipairs(children) do assert.same({ "exited", 0 }, { child:wait(5) }) end
        assert.equal("three", said(s))
        local _, times = s:stop():gsub("info reload %(moongate reload%)", "")
        assert.equal(2, times)
    end)

    it("answers many that ask again and again", function()
        local s = start("workers 2")
        local children = {}
        for i = 1, 12 do children[i] = instance.spawn { "reload", "--name", s.name } end
        for _, child in ipairs(children) do assert.same({ "exited", 0 }, { child:wait(10) }) end
        assert.equal(instance.status(s.name).generation, generation(s))
        s:stop()
    end)

    it("follows SIGHUP, with the result and all problems in the error log", function()
        local s, write = start("fake say one")
        write("fake say two")
        s:signal(signal.SIGHUP)
        s:wait_log("info reload %(SIGHUP%): generation 2 in 1 worker, no route changed, %d+ ms\n")
        assert.equal("two", said(s))
        write("fake plan-problem no such key")
        s:signal(signal.SIGHUP)
        s:wait_log("error reload: " .. plain(s.file) .. ":1:1: no such key\n%S+ error reload %(SIGHUP%): nothing has changed: generation 2 serves on\n")
        assert.equal("two", said(s))
        s:stop()
    end)

    it("is explained when no instance runs, or it does not answer", function()
        local code, _, err = instance.run { "reload" }
        assert.same({ 4, "moongate: no instance is running\n" }, { code, err })
        local s = start("")
        signal.kill(s.pid, signal.SIGSTOP)
        code, _, err = reload(s, 8)
        signal.kill(s.pid, signal.SIGCONT)
        assert.equal(8, code)
        assert.matches("^moongate: reload: no answer in time\n", err)
        s:stop()
    end)

    it("gives a worker that is replaced later the running generation, whatever the file says by then", function()
        local s, write = start("fake say one")
        write("fake say two")
        reload(s)
        write("fake fail 6 broken since")
        s:connect():send("GET /crash HTTP/1.0\r\n\r\n")
        s:wait_log("worker 1 %(pid %d+%): serves")
        assert.equal("two", said(s))
        assert.equal(2, generation(s))
        s:stop()
    end)

    it("says that the name of an instance stays", function()
        local file = instance.config("name first\nlisten 127.0.0.1:0")
        local child = instance.spawn { "run", file }
        instance.wait_file(child.stderr_path, "first serves")
        process.write_file(file, "name second\nlisten 127.0.0.1:0\n")
        assert.equal(0, (instance.run { "reload", "--name", "first" }))
        instance.wait_file(child.stderr_path, 'warn reload: name: this instance stays "first" until it is started again as "second"\n')
        child:signal(signal.SIGTERM)
        assert.same({ "exited", 0 }, { child:wait(5) })
    end)
end)

describe("a worker, in a reload", function()
    before_each(instance.begin)
    after_each(instance.sweep)

    local function refused(lines, pattern, env)
        local s, write = start("workers 2\nfake say one", { env = env })
        write("workers 2\nfake say two\n" .. lines)
        local code, out, err = reload(s)
        assert.same({ 1, "" }, { code, out })
        assert.matches("^" .. pattern .. "nothing has changed: generation 1 serves on\n$", err)
        assert.equal("one", said(s))
        write("workers 2\nfake say three")
        code, out, err = reload(s)
        assert.equal(0, code, err)
        assert.equal("three", said(s))
        return s
    end

    it("that cannot prepare the generation makes it fail for all", function()
        refused("fake prepare-fail on_start at app.lua:3: no database", "moongate: worker %d: on_start at app.lua:3: no database\n"):stop()
        refused("fake prepare-fail 1 disk full", "moongate: worker 2: 1 disk full\n"):stop()
    end)

    it("that dies while it prepares makes it fail for all, and is replaced", function()
        local s = refused("fake prepare-crash 1", "moongate: worker 2 %(pid %d+%): killed by SIGABRT[^\n]* while it prepared generation 2\n")
        assert.matches("worker 2 %(pid %d+%): killed by SIGABRT.*; replaced at once\n.*worker 2 %(pid %d+%): serves\n", s:stop())
    end)

    it("that does not finish preparing within its time makes it fail; it serves on", function()
        local s = refused("fake prepare-wait", "moongate: worker 1: not prepared within 300ms: does a start hook wait or loop for ever%?\n"
            .. "moongate: worker 2: not prepared within 300ms[^\n]+\n", { FAKE_PREPARE_MS = "300" })
        assert.is_nil(s:stop():find("killed", 1, true))
    end)

    it("that is stuck in preparing is ended and replaced by one that serves the old generation", function()
        local s, write = start("workers 2\nfake say one", { env = { FAKE_PREPARE_MS = "300" } })
        write("workers 2\nfake say two\nfake prepare-spin 1")
        assert.equal(1, (reload(s)))
        s:wait_log("error worker 2 %(pid %d+%): is stuck and does not hear its master; it is ended\n.*worker 2 %(pid %d+%): killed by SIGKILL; replaced at once\n.*worker 2 %(pid %d+%): serves\n")
        assert.equal("one", said(s))
        assert.is_nil(s:stop():find("worker 1", 1, true))
    end)

    it("that dies when it is to serve the generation is replaced by one that does", function()
        local s, write = start("workers 2\nfake say one")
        write("workers 2\nfake say two\nfake commit-crash 1")
        local code, out, err = reload(s)
        assert.equal(0, code, err)
        assert.matches("^generation 2 in 2 workers, no route changed, %d+ ms\n$", out)
        assert.equal("two", said(s))
        s:stop()
    end)

    it("that does not take the generation in time is ended; the answer says who is missing", function()
        local s, write = start("workers 2\nfake say one", { env = { FAKE_COMMIT_MS = "300" } })
        write("workers 2\nfake say two\nfake commit-deaf 1")
        local code, out = reload(s)
        assert.equal(0, code)
        assert.matches("^generation 2 in 2 workers, no route changed, %d+ ms; worker 2 does not serve yet\n$", out)
        s:wait_log("worker 2 %(pid %d+%): has not taken the new generation in time; it is ended\n.*worker 2 %(pid %d+%): serves\n")
        assert.equal("two", said(s))
        s:stop()
    end)

    it("that starts meanwhile begins anew with the new generation", function()
        local folder = server.folder()
        local s, write = start("workers 2\nfake say one\nfake unready-if " .. folder .. "/wait")
        process.write_file(folder .. "/wait", "")
        signal.kill(s:workers()[2], signal.SIGKILL)
        instance.wait_until(function()
            local workers = instance.status(s.name).workers
            return workers[1].state == "starting" or workers[2].state == "starting"
        end)
        write("workers 2\nfake say two")
        local code, out = reload(s)
        assert.equal(0, code)
        assert.matches("^generation 2 in 2 workers", out)
        assert.equal("two", said(s))
        assert.matches("info worker %d %(pid %d+%): ended before it served, to begin anew with generation 2\n", s:stop())
    end)

    it("that becomes ready while the others prepare takes part", function()
        local folder = server.folder()
        local s, write = start("workers 2\nfake say one\nfake unready-if " .. folder .. "/wait")
        process.write_file(folder .. "/wait", "")
        signal.kill(s:workers()[2], signal.SIGKILL)
        write("workers 2\nfake say two\nfake prepare-until " .. folder .. "/go")
        local child = instance.spawn { "reload", "--name", s.name }
        instance.wait_file(folder .. "/go.asked", "asked")
        os.remove(folder .. "/wait")
        s:wait_log("worker %d %(pid %d+%): serves")
        process.write_file(folder .. "/go", "")
        assert.same({ "exited", 0 }, { child:wait(5) })
        assert.equal("two", said(s))
        s:stop()
    end)

    it("that keeps dying with the running generation is mended by a reload", function()
        local folder = server.folder()
        local s, write = start("fake crash-if " .. folder .. "/broken")
        process.write_file(folder .. "/broken", "")
        s:connect():send("GET /crash HTTP/1.0\r\n\r\n")
        s:wait_log("replaced in 400ms")
        write("fake say mended")
        local code, out, err = reload(s)
        assert.equal(0, code, err)
        assert.matches("^generation 2 in 1 worker", out)
        assert.equal("mended", said(s))
        s:stop()
    end)
end)

describe("a stop during a reload", function()
    before_each(instance.begin)
    after_each(instance.sweep)

    local function stopped_while(what)
        local folder = server.folder()
        local s, write = start("fake say one")
        write(("fake %s %s/go"):format(what, folder))
        local child = instance.spawn { "reload", "--name", s.name }
        instance.wait_file(folder .. "/go.asked", "asked")
        local workers = s:workers()
        s:signal(signal.SIGTERM)
        s:wait_log("finishing requests")
        process.write_file(folder .. "/go", "")
        s:wait_end(0, 5, workers)
        assert.same({ "exited", 1 }, { child:wait(5) })
        return process.read_file(child.stderr_path)
    end

    it("ends the candidate and tells those who wait", function()
        assert.equal("moongate: reload: the instance is stopping\n", stopped_while("plan-wait"))
    end)

    it("forgets what workers prepare and tells those who wait", function()
        assert.equal("moongate: reload: the instance is stopping\n", stopped_while("prepare-until"))
    end)

    it("is final: what is asked later is refused", function()
        local s = start("fake hang-on-drain")
        local workers = s:workers()
        s:signal(signal.SIGTERM)
        s:wait_log("finishing requests")
        local code, _, err = reload(s)
        assert.same({ 1, "moongate: reload: the instance is stopping\n" }, { code, err })
        s:signal(signal.SIGTERM)
        s:wait_end(0, 5, workers)
    end)
end)
