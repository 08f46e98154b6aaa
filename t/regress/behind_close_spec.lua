--- Requests that came behind one whose answer had said "close" were run, and never answered (RFC 9112 §9.6: they must not be processed).
local server = require "t.support.server"

after_each(server.sweep)

describe("a request behind an answer that closes", function()
    it("is not run", function()
        local s = server.start { script = [[
            local mg = require "moongate"
            local app = mg.app()
            local count = 0
            app:get("/stream", function() return mg.stream(function(out) out:write("a") mg.sleep("80ms") out:write("b") end) end)
            app:post("/count", function() count = count + 1 return "" end)
            app:get("/count", function() return tostring(count) end)
            return app
        ]] }
        local c = s:connect()
        c:send("GET /stream HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
        assert.equal("close", c:read_head():get("connection"))
        c:send("POST /count HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n")
        assert.equal("ab", c:read_to_end())
        c:close()
        assert.equal("0", s:get("/count").body)
        s:stop()
    end)
end)
