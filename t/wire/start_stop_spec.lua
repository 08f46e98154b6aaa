--- A site's own hooks around its life, and starts that fail, in the real program.
local script = require("t.support.served").script
local server = require "t.support.server"

describe("a start hook", function()
    after_each(server.sweep)

    it("runs in each worker before it accepts; once-hooks in one of them, before the others", function()
        local s = server.start { workers = 3, script = script [[
            local ready = false
            app:on_start(function() mg.log("once in " .. mg.worker()) end, { once = true })
            app:on_start(function() mg.sleep(0.02) ready = true mg.log("each in " .. mg.worker()) end)
            app:get("/", function(req) return tostring(ready) end)
        ]] }
        for _ = 1, 20 do assert.equal("true", s:get("/").body) end
        local log = s:stop()
        assert.equal(1, select(2, log:gsub("once in ", "")))
        for worker = 1, 3 do assert.equal(1, select(2, log:gsub("each in " .. worker, ""))) end
    end)

    it("that raises stops the start, with its line", function()
        for _, code in ipairs { 'error("no database")', 'mg.sleep(0.002) error("no database")', 'mg.spawn(function() end); mg.raise("no database")' } do
            local ok, message = pcall(server.start, { script = script("\napp:on_start(function() " .. code .. " end)") })
            assert.is_false(ok)
            assert.matches("worker 1: [^\n]*app%.lua:2: [^\n]*on_start", message)
            assert.matches("no database", message)
            assert.matches("exited [1-9]", message)
        end
    end)

    it("may begin tasks that go on while requests are answered", function()
        local s = server.start { script = script [[
            local count = 0
            app:on_start(function() mg.spawn(function() while true do mg.sleep(0.001) count = count + 1 end end) end)
            app:get("/", function(req) return tostring(count) end)
        ]] }
        local first = tonumber(s:get("/").body)
        local last = first
        for _ = 1, 10000 do
            last = tonumber(s:get("/").body)
            if last > first then break end
        end
        assert.is_true(last > first)
        s:stop()
    end)
end)

describe("a stop hook", function()
    after_each(server.sweep)

    it("runs exactly once in each worker, after the last answer, also when one fails", function()
        local s = server.start { workers = 2, script = script [[
            app:on_stop(function() mg.log("first in " .. mg.worker()) error("a hook that fails") end)
            app:on_stop(function() mg.sleep(0.01) mg.log("second in " .. mg.worker()) end)
            app:get("/", function(req) return "x" end)
        ]] }
        s:get("/")
        local idle = s:connect()
        idle:get("/")
        local log = s:stop()
        for worker = 1, 2 do
            assert.equal(1, select(2, log:gsub("first in " .. worker, "")))
            assert.equal(1, select(2, log:gsub("second in " .. worker, "")))
        end
        assert.equal(2, select(2, log:gsub("on_stop at [^\n]*app%.lua:1: [^\n]*a hook that fails", "")))
        idle:expect_close()
    end)

    it("runs when the time for requests is over; they are answered 503 or cut", function()
        local s = server.start { script = [[
            local mg = require "moongate"
            local app = mg.app()
            app:on_stop(function() mg.log("stopped") end)
            app:get("/sleep", function(req) mg.sleep(60) return "never" end)
            app:get("/stream", function(req) return mg.stream(function(out) out:write("begun") mg.sleep(60) end) end)
            app:get("/ok", function(req) return "ok" end)
            return { app = app, drain = "100ms" }]] }
        local sleeping, streaming = s:connect(), s:connect()
        sleeping:send("GET /sleep HTTP/1.1\r\nHost: a\r\n\r\n")
        streaming:send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
        streaming:read_head()
        assert.equal("begun", streaming:read_chunk())
        s:get("/ok")
        local log = s:stop()
        assert.equal(503, sleeping:read().status)
        streaming:expect_close()
        assert.equal(1, select(2, log:gsub("info [^\n]*stopped\n", "")))
    end)
end)
