--- Code that runs for too long without waiting: it alone ends, is named with its line, and nobody else notices for longer than the limit.
local http_text = require "t.support.http_text"
local process = require "t.support.process"
local server = require "t.support.server"
local json = require "cjson"

after_each(server.sweep)

local LIMIT, GRACE = 0.2, 0.4
local SLACK = server.sanitized and 3 or 1

--- Handlers that do not end. What keeps a table alive is seen by the interpreter again and again; the sum of numbers never is.
local SITE = [==[
local mg = require "moongate"
local app = mg.app()
local sink
local function spin() while true do sink = { sink and 1 } end end
app:get("/", function() return "hello" end)
app:get("/spin", function() spin() end)                                          -- line 6
app:get("/protected", function() while true do pcall(spin) end end)
app:get("/inner", function() local co = coroutine.wrap(spin) while true do pcall(co) end end)
app:get("/waited", function() mg.sleep("20ms") spin() end)
app:get("/streamed", function() return mg.stream(function(out) out:write("begun") out:flush() spin() end) end)
app:get("/done", function(req) req:on_done(spin) return "done" end)
app:get("/task", function() mg.spawn(spin) return "spawned" end)
app:get("/machine", function() local x = 0 while true do x = x + 1 end end)       -- line 13
app:get("/strict", { handler_time = "30ms" }, function() spin() end)
app:get("/patient", { handler_time = "10s" }, function()
    local till = os.clock() + 0.5
    while os.clock() < till do sink = {} end
    return "patient"
end)
app:get("/sleepy", function() for _ = 1, 12 do mg.sleep("50ms") end return "slept" end)
app:filter("/filtered", function(req, next) spin() end)
app:get("/filtered", function() return "no" end)
app:get("/chosen", { when = function() spin() end }, function() return "no" end)
]==]

local function start(more, options)
    local all = { script = SITE .. (more or "") .. ("\nreturn { app = app, limits = { handler_time = '%gms', handler_grace = '%gms' } }")
        :format(LIMIT * 1000, GRACE * 1000) }
    for key, value in pairs(options or {}) do all[key] = value end
    return server.start(all)
end

local function timed(run)
    local began = process.now()
    local value = run()
    return value, process.now() - began
end

describe("a handler that does not give way", function()
    it("is stopped at the limit and answered 503, wherever its loop is", function()
        local s = start()
        for _, path in ipairs { "/spin", "/protected", "/inner", "/waited", "/filtered", "/chosen" } do
            local response, took = timed(function() return s:get(path) end)
            assert.equal(503, response.status, path)
            assert.matches("took too much time", response.body)
            assert.is_nil(response.body:find("app.lua", 1, true))
            assert.is_true(took >= LIMIT and took < LIMIT + SLACK, ("%s took %.3f s"):format(path, took))
            assert.equal("hello", s:get("/").body)
        end
        local log = s:stop()
        assert.matches("GET /spin %(%S+app%.lua:6%): %S+app%.lua:4: ran for longer than 200ms without waiting %(limits%.handler_time%)", log)
        assert.is_nil(log:find("moongate/", 1, true))
        assert.is_nil(log:find("killed", 1, true))
    end)

    it("goes through the app's error handler", function()
        local s = start([[app:on_error("handler-time", function(req, err) return 503, "slow: " .. err.kind end)]])
        local response = s:get("/spin")
        assert.equal(503, response.status)
        assert.equal("slow: handler-time", response.body)
        s:stop()
    end)

    it("in an error handler ends in the plain answer", function()
        local s = start([[app:on_error("handler-time", function() spin() end)]])
        local response = s:get("/spin")
        assert.equal(500, response.status)
        assert.equal("hello", s:get("/").body)
        s:stop()
    end)

    it("delays its neighbours by the limit at most, also those behind it on its connection", function()
        local s = start()
        local neighbour, c = s:connect(), s:connect()
        c:send(http_text.request("GET", "/spin") .. http_text.request("GET", "/"))
        neighbour:send(http_text.request("GET", "/"))
        local response, took = timed(function() return neighbour:read() end)
        assert.equal("hello", response.body)
        assert.is_true(took < LIMIT + SLACK, ("%.3f s"):format(took))
        assert.equal(503, c:read().status)
        assert.equal("hello", c:read().body)
        s:stop()
    end)

    it("cuts a stream that has begun, so that the client can tell", function()
        local s = start()
        local c = s:connect()
        c:send(http_text.request("GET", "/streamed"))
        assert.equal(200, c:read_head().status)
        assert.is_false((pcall(function() return c:read_body() end)))
        assert.equal("hello", s:get("/").body)
        s:stop()
    end)

    it("has a limit of its own where its route, or its app, says so", function()
        local s = start()
        local response, took = timed(function() return s:get("/strict") end)
        assert.equal(503, response.status)
        assert.is_true(took < LIMIT, ("%.3f s"):format(took))
        assert.equal("patient", s:get("/patient").body)
        s:stop()
        s = start([[app:limits { handler_time = "30ms" }]])
        response, took = timed(function() return s:get("/spin") end)
        assert.equal(503, response.status)
        assert.is_true(took < LIMIT, ("%.3f s"):format(took))
        assert.equal("patient", s:get("/patient").body)
        s:stop()
    end)

    it("may wait as long as it likes", function()
        local s = start()
        assert.equal("slept", s:get("/sleepy").body)
        s:stop()
    end)

    it("is stopped in tasks and hooks as well, named by where they were made", function()
        local s = start()
        assert.equal("spawned", s:get("/task").body)
        s:wait_log("a task spawned at %S+app%.lua:12 failed: [^\n]*ran for longer than 200ms")
        assert.equal("done", s:get("/done").body)
        s:wait_log("on_done[^\n]*ran for longer than 200ms")
        assert.equal("hello", s:get("/").body)
        assert.is_nil(s:log():find("killed", 1, true))
        s:stop()
    end)
end)

describe("a loop of machine code, which no hook sees", function()
    local function status(s) return json.decode((select(2, server.run { "status", "--json", "--name", s.name }))) end

    it("costs its worker its life; the log names the route, the socket loses nobody", function()
        local s = start(nil, { workers = 1 })
        local c = s:connect()
        c:send(http_text.request("GET", "/machine"))
        c:expect_silence(0.1)
        local waiting = s:connect() -- in the queue of a worker that does not look
        waiting:send(http_text.request("GET", "/"))
        local response, took = timed(function() return waiting:read() end)
        assert.equal("hello", response.body)
        assert.is_true(took < LIMIT + GRACE + SLACK, ("%.3f s"):format(took))
        c:expect_close()
        assert.matches("route GET /machine has run for %S+ without waiting and cannot be stopped: killed\n", s:stop())
    end)

    it("closes its route after three workers, until the next reload", function()
        local s = start(nil, { workers = 1 })
        for _ = 1, 3 do
            local c = s:connect()
            c:send(http_text.request("GET", "/machine"))
            c:expect_close()
        end
        local response = s:get("/machine")
        assert.equal(503, response.status)
        assert.matches("closed", response.body)
        assert.equal("hello", s:get("/").body)
        assert.same({ "GET /machine" }, status(s).closed_routes)
        assert.matches("route GET /machine: closed: it has cost 3 workers their lives within 10m", s:log())
        process.write_file(s.file, (process.read_file(s.file):gsub("while true do x = x %+ 1 end", "return 'mended'")))
        assert.equal(0, (server.run { "reload", "--name", s.name }))
        assert.equal("mended", s:get("/machine").body)
        assert.same({}, status(s).closed_routes)
        s:stop()
    end)
end)
