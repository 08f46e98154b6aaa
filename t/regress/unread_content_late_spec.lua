--- Content that an answered request left unread and that did not come in time took the connection down at once, with the answers still owed to
--- the requests before it.
local server = require "t.support.server"

after_each(server.sweep)

describe("content that nobody reads and that never comes", function()
    it("ends the connection after the answers before it", function()
        local s = server.start { script = [[
            local mg = require "moongate"
            local app = mg.app()
            app:get("/slow", function() mg.sleep("250ms") return "slow" end)
            app:post("/early", function() return "early" end)
            return { app = app, limits = { body_time = "50ms", linger = "50ms" } }
        ]] }
        local c = s:connect()
        c:send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\nPOST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345")
        assert.equal("slow", c:read().body)
        assert.equal("early", c:read().body)
        c:expect_close(true)
        s:stop()
    end)
end)
