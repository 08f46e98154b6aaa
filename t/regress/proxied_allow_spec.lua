--- An upstream's 405 went to the client with a second Allow field, of the methods of the gateway's own route.
local origin = require "t.support.origin"
local server = require "t.support.server"

describe("an upstream's 405", function()
    after_each(function()
        server.sweep()
        origin.sweep()
    end)

    local function answered(fields)
        local o = origin.start(function(self)
            self:serve(function() return ("HTTP/1.1 405 No\r\n%sContent-Length: 2\r\n\r\nno"):format(fields) end)
        end)
        local s = server.start { script = ([[
            local mg = require "moongate"
            local app = mg.app()
            app:proxy("/*", mg.upstream { servers = { "%s" } })
            return app
        ]]):format(o.address) }
        local r = s:get("/")
        s:stop()
        return r
    end

    it("has the Allow field that came, and no other", function()
        local r = answered("Allow: GET, PATCH\r\n")
        assert.equal(405, r.status)
        local _, count = r.head:gsub("\r\nAllow: [^\r]*", "")
        assert.equal(1, count)
        assert.equal("GET, PATCH", r:get("allow"))
    end)

    it("is given none when none came: its methods are not known here", function()
        assert.is_nil(answered(""):get("allow"))
    end)
end)
