--- Every wait of a handler has an end, every kind of work a bound, and `status` shows both.
local json = require "cjson"
local process = require "t.support.process"
local server = require "t.support.server"

after_each(server.sweep)

local SITE = [==[
local mg = require "moongate"
local app = mg.app()
local function for_ever() while true do mg.sleep("50ms") end end
app:get("/hello", function() return "hello" end)
app:get("/for/ever", function() for_ever() end)                                 -- line 5
app:get("/one/wait", function() mg.sleep("1h") return "slept" end)
app:get("/caught", function() while true do pcall(mg.sleep, "10ms") end end)
app:get("/kept", function() local ok, why = pcall(mg.sleep, "1h") return tostring(ok) .. " " .. tostring(why) end)
app:get("/join", function() local t = mg.spawn(for_ever) t:join() return "joined" end)
app:get("/all", function() mg.all(for_ever, for_ever) return "all" end)
app:get("/inner", function() coroutine.wrap(for_ever)() return "inner" end)
app:get("/in/time", function() for _ = 1, 6 do mg.sleep("20ms") end return "in time" end)
app:get("/patient", { request_time = "10s" }, function() mg.sleep("500ms") return "patient" end)
app:get("/strict", { request_time = "60ms" }, function() mg.sleep("150ms") return "strict" end)
app:get("/stream", function() return mg.stream(function(out) out:write("a") mg.sleep("600ms") out:write("b") end) end)
app:post("/slow/body", function(req) return "got " .. #req:text() end)
app:get("/id/:ms", function(req) mg.sleep(req.params.ms .. "ms") return req.params.ms end)
]==]

local LIMIT = 0.3

local function start(more)
    return server.start { script = SITE .. (more or "")
        .. ("\nreturn { app = app, limits = { request_time = '%dms', tasks = 100, handler_time = '500ms' } }"):format(LIMIT * 1000) }
end

local function timed(run)
    local began = process.now()
    local value = run()
    return value, process.now() - began
end

local function status(s)
    local code, text = server.run { "status", "--json", "--name", s.name }
    assert.equal(0, code)
    return json.decode(text).workers[1]
end

describe("a handler that waits for what never comes", function()
    it("is cancelled when its time is over, however it waits", function()
        local s = start()
        for _, path in ipairs { "/for/ever", "/one/wait", "/join", "/all", "/inner" } do
            local response, took = timed(function() return s:get(path) end)
            assert.equal(503, response.status, path)
            assert.matches("took too much time", response.body)
            assert.is_true(took >= LIMIT and took < LIMIT + 1, ("%s took %.3f s"):format(path, took))
        end
        s:wait_log("GET /one/wait %([^\n]*app.lua:6%): waited until the time for its answer was over %(limits.request_time%)\n[^\n]*stack traceback:\n[^\n]*app.lua:6")
        assert.equal("hello", s:get("/hello").body)
        s:stop()
    end)

    it("may clean up and answer, but cannot wait any more", function()
        local s = start()
        assert.equal("false cancelled", s:get("/kept").body)
        assert.equal(503, s:get("/caught").status) -- it does not give way any more: limits.handler_time
        s:stop()
    end)

    it("leaves a dispatcher behind that serves as before", function()
        local s = start()
        local c = s:connect()
        for _ = 1, 3 do
            assert.equal("false cancelled", c:get("/kept").body)
            assert.equal("20", c:get("/id/20").body)
        end
        s:stop()
    end)

    it("is answered by the app's error handler, which may wait itself", function()
        local s = start [==[
            app:on_error("request-time", function(req, err) mg.sleep("20ms") return 504, "too long" end)
        ]==]
        local response = s:get("/one/wait")
        assert.equal(504, response.status)
        assert.equal("too long", response.body)
        s:stop()
    end)

    it("has the time of its route", function()
        local s = start()
        assert.equal("in time", s:get("/in/time").body)
        assert.equal("patient", s:get("/patient").body)
        assert.equal(503, s:get("/strict").status)
        s:stop()
    end)

    it("is none whose answer has begun, or whose client is slow", function()
        local s = start()
        assert.equal("ab", s:get("/stream").body)
        local c = s:connect()
        c:send("POST /slow/body HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na")
        assert.equal(503, s:get("/one/wait").status) -- so long it waits
        assert.equal(503, s:get("/one/wait").status)
        c:send("b")
        assert.equal("got 2", c:read().body)
        s:stop()
    end)
end)

describe("work without a bound", function()
    it("is refused beyond limits.tasks, at the line that begins it", function()
        local s = start [==[
            app:get("/many/:n", function(req) for _ = 1, tonumber(req.params.n) do mg.spawn(mg.sleep, "200ms") end return "begun" end)
            app:get("/timers", function() for _ = 1, 1000 do mg.after("1h", print) end end)
            app:get("/all/many", function() local t = {} for i = 1, 101 do t[i] = function() return i end end mg.all(t) return "all" end)
        ]==]
        assert.equal("begun", s:get("/many/100").body)
        assert.equal(100, status(s).bounds.tasks.now)
        local response = s:get("/many/1")
        assert.equal(503, response.status)
        assert.matches("too much is being done at once", response.body)
        s:wait_log("GET /many/1: [^\n]*app.lua:%d+: mg.spawn: this worker has 100 tasks, of at most 100 %(limits.tasks%)")
        assert.equal("hello", s:get("/hello").body)
        local limit = process.now() + 5
        repeat until status(s).bounds.tasks.now == 0 or process.now() > limit
        assert.equal(503, s:get("/all/many").status)
        assert.equal(0, status(s).bounds.tasks.now)
        assert.equal("begun", s:get("/many/100").body)
        s:kill()
    end)
end)

describe("status", function()
    it("shows what waits and how much of each bound is in use", function()
        local s = start()
        local c = s:connect()
        c:send("GET /one/wait HTTP/1.1\r\nHost: a\r\n\r\n")
        local limit, worker = process.now() + 5, nil
        repeat worker = status(s) until worker.waits.handlers == 1 or process.now() > limit
        assert.equal(1, worker.waits.handlers)
        assert.equal(LIMIT * 1000, worker.waits.most_ms)
        assert.same({ now = 1, most = 4096 }, worker.bounds.requests)
        assert.equal(2 ^ 20, worker.bounds.timers.most)
        assert.equal(268435456, worker.bounds.lua.most)
        assert.is_true(worker.bounds.lua.now > 100000)
        local _, text = server.run { "status", "--name", s.name }
        assert.matches("in use +connections +requests +tasks", text)
        assert.matches("\n1 +%d+/ +10000 +%d/ +4096 +0/ +100 ", text)
        assert.equal(503, c:read().status)
        limit = process.now() + 5
        repeat worker = status(s) until worker.waits.handlers == 0 or process.now() > limit
        assert.equal(0, worker.waits.handlers)
        s:stop()
    end)
end)
