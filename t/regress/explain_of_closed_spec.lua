--- explain said of a route that was closed, because it had cost workers their lives, that its handler would answer.
local json = require "cjson"
local server = require "t.support.server"

local SITE = [==[
local app = require("moongate").app()
app:get("/machine", function() local x = 0 while true do x = x + 1 end end)
return { app = app, limits = { handler_time = "50ms", handler_grace = "50ms" } }
]==]

describe("explain of a closed route", function()
    after_each(server.sweep)

    it("says that it is closed", function()
        local s = server.start { script = SITE }
        for _ = 1, 5 do
            local c = s:connect()
            c:send "GET /machine HTTP/1.1\r\nHost: a\r\n\r\n"
            local ended = pcall(c.expect_close, c)
            c:close()
            if not ended then break end
        end
        s:wait_log "route GET /machine: closed"
        assert.equal(503, s:get("/machine").status)
        local code, out = server.run { "explain", "GET", "/machine", "--json", "--name", s.name }
        assert.equal(0, code)
        local answer = json.decode(out)
        assert.equal(503, answer.status)
        assert.matches("closed", answer.why)
        s:stop()
    end)
end)
