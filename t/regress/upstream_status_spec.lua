--- An upstream's status beyond 599 was no answer that could be begun: nobody answered the client, and the worker could not drain.
local origin = require "t.support.origin"
local server = require "t.support.server"

describe("an upstream's status", function()
    after_each(server.sweep)

    local function answered(status)
        local o = origin.start(function(o)
            local c = o:accept()
            c:read_request()
            c:send(("HTTP/1.1 %s Odd\r\nContent-Length: 2\r\n\r\nok"):format(status))
            c:expect_close(true)
        end)
        local s = server.start { script = ([[
            local mg = require "moongate"
            local app = mg.app()
            app:proxy("/*", mg.upstream { servers = { "%s" } })
            return app
        ]]):format(o.address) }
        local r = s:get("/")
        local log = s:stop()
        o:finish()
        return r.status, log
    end

    it("is passed on up to 599", function()
        local got = answered(599)
        assert.equal(599, got)
    end)

    it("is answered 502 beyond that, and the log says why", function()
        for _, status in ipairs { 600, 999 } do
            local got, log = answered(status)
            assert.equal(502, got)
            assert.matches("the upstream's status is none of an answer", log, 1, true)
        end
    end)
end)
