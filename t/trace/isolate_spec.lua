--- Handlers that cannot be compiled are moved behind a coroutine, named once, and answer as before.
local process = require "t.support.process"
local server = require "t.support.server"

local SCRIPT = [[
local mg = require "moongate"
local app = mg.app()
local loops = 0
app:filter("/filtered/*", function(req, next) local res = next(req) res.headers["x-f"] = "1" return res end)
app:get("/good", function(req) return "good" end)
app:get("/closure/:x", function(req)
    local x = req.params.x
    local f = function() return "bad " .. x end
    return f()
end)
app:get("/filtered/:x", function(req)
    local x = req.params.x
    local f = function() return "bad " .. x end
    return f()
end)
app:get("/waits", function(req)
    local x = req.query.x or "none"
    local f = function() return x end
    if x ~= "none" then mg.sleep(0.01) end
    return f()
end)
app:get("/raises", function(req)
    local x = req.query.x
    local f = function() return x end
    if f() then error("boom") end
    return "fine"
end)
app:get("/loops", function(req)
    local sum = 0
    for i = 1, 3 do sum = sum + i end
    return "sum " .. sum
end)
return app
]]

local MOVED = "runs behind a coroutine"

describe("a handler that cannot be compiled", function()
    local s
    before_each(function() s = server.start { script = SCRIPT, workers = 1 } end)
    after_each(server.sweep)

    local function ask(path, times)
        local c = s:connect()
        local answer
        for _ = 1, times do
            c:send("GET " .. path .. " HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = c:read()
            assert.equal(200, answer.status, path)
        end
        c:close()
        return answer
    end

    it("is moved behind a coroutine and named with its line, once", function()
        assert.equal("bad 7", ask("/closure/7", 3000).body)
        s:wait_log("route GET /closure/:x .*app.lua:%d+%) cannot be compiled at .*app.lua:8")
        assert.equal("bad 8", ask("/closure/8", 3000).body)
        local _, count = s:log():gsub(MOVED, "")
        assert.equal(1, count)
        s:stop()
    end)

    it("is found again in the next generation, and named by that one's line", function()
        ask("/closure/7", 3000)
        s:wait_log("cannot be compiled at .*app.lua:8")
        process.write_file(s.file, "\n\n" .. SCRIPT)
        assert.equal(0, (server.run { "reload", "--name", s.name }))
        assert.equal("bad 7", ask("/closure/7", 3000).body)
        s:wait_log("cannot be compiled at .*app.lua:10")
        assert.equal("bad 8", ask("/closure/8", 3000).body)
        s:stop()
    end)

    it("keeps its filters", function()
        ask("/filtered/7", 3000)
        s:wait_log("route GET /filtered/:x ")
        local answer = ask("/filtered/7", 10)
        assert.equal("bad 7", answer.body)
        assert.equal("1", answer:get("x-f"))
        s:stop()
    end)

    it("may still wait, many at once", function()
        ask("/waits", 3000)
        s:wait_log("route GET /waits ")
        local c = s:connect()
        for n = 1, 16 do c:send(("GET /waits?x=%d HTTP/1.1\r\nHost: x\r\n\r\n"):format(n)) end
        for n = 1, 16 do assert.equal(tostring(n), c:read().body) end
        s:stop()
    end)

    it("still tells where it failed", function()
        ask("/raises", 3000)
        s:wait_log("route GET /raises ")
        assert.equal(500, s:get("/raises?x=1").status)
        s:wait_log("app.lua:25: boom")
        assert.equal("fine", ask("/raises", 10).body)
        s:stop()
    end)

    it("is not what a handler with a short loop is", function()
        assert.equal("sum 6", ask("/loops", 3000).body)
        assert.equal("good", ask("/good", 3000).body)
        assert.falsy(s:log():find(MOVED, 1, true), s:log())
        s:stop()
    end)
end)
