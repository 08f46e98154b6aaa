--- A field with underscores cannot stand in for the one with dashes.
local server = require "t.support.server"

describe("req.headers with an underscore", function()
    after_each(server.sweep)

    it("means the field with dashes when there is one", function()
        local s = server.start { script = [[
local mg = require "moongate"
local app = mg.app()
app:get("/", function(req) return (req.headers.x_real_ip or "none") .. " " .. (req.headers["x-real-ip"] or "none") end)
return app
]] }
        local c = s:connect()
        c:send("GET / HTTP/1.1\r\nHost: x\r\nX_Real_IP: spoofed\r\nX-Real-IP: true\r\n\r\n")
        assert.equal("true true", c:read().body)
        c:send("GET / HTTP/1.1\r\nHost: x\r\nX_Real_IP: odd\r\n\r\n")
        assert.equal("odd none", c:read().body)
        s:stop()
    end)
end)
