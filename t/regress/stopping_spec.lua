--- At the end of the drain time the slots of the requests that were cut off were given to new requests: a handler that came back in the last
--- moment answered somebody else. And a client that lingered took all the time from the stop hooks.
local signal = require "posix.signal"
local server = require "t.support.server"

after_each(server.sweep)

describe("the end of the drain time", function()
    it("gives no slot of a handler that still waits to another request", function()
        local s = server.start { script = [[
            local mg = require "moongate"
            local app = mg.app()
            app:get("/secret", function() mg.sleep("300ms") return "secret" end)
            app:get("/other", function() return "other" end)
            return { app = app, drain = "100ms" }
        ]] }
        local a, b = s:connect(), s:connect()
        a:send("GET /secret HTTP/1.1\r\nHost: a\r\n\r\n")
        b:send("GET /other HTTP/1.1\r\nHost: a\r\n") -- not whole before the stop
        b:expect_silence(0.03)
        s:signal(signal.SIGTERM)
        assert.equal(503, a:read().status)
        b:send("\r\n")
        local r = b:read()
        assert.equal(503, r.status)
        assert.equal("503 Service Unavailable: the gateway is stopping\n", r.body)
        b:expect_close(true)
        s:wait_end()
    end)

    it("leaves time for the stop hooks when a client does not close", function()
        local s = server.start { script = [[
            local mg = require "moongate"
            local app = mg.app()
            app:get("/", function() mg.sleep("20s") end)
            app:on_stop(function() mg.log("info", "the hook ran") end)
            return app
        ]] }
        local c = s:connect()
        c:send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        c:expect_silence(0.03)
        s:signal(signal.SIGTERM)
        s:wait_log("finishing requests")
        s:signal(signal.SIGTERM)
        assert.equal(503, c:read().status)
        assert.matches("the hook ran", s:wait_end(), 1, true)
    end)
end)
