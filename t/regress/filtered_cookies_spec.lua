--- A filter had set a field of its own; of two fields of one name that the upstream sent, the second was then taken for overruled by the first, and
--- lost: a browser got one of two cookies.
local origin = require "t.support.origin"
local server = require "t.support.server"

describe("fields of one name from an upstream", function()
    it("are all sent on when a filter has set another field", function()
        local o = origin.start(function(self)
            self:serve(function() return "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n" end)
        end)
        local s = server.start { script = ([[
            local app = require("moongate").app()
            app:proxy("/*", "http://ADDRESS")
            app:filter("/*", function(req, next) local res = next(req); res.headers["x-mine"] = "1"; return res end)
            return app]]):gsub("ADDRESS", o.address) }
        local cookies = {}
        for _, field in ipairs(s:get("/").fields) do
            if field[1]:lower() == "set-cookie" then cookies[#cookies + 1] = field[2] end
        end
        assert.same({ "a=1", "b=2" }, cookies)
        s:stop()
        origin.sweep()
        server.sweep()
    end)
end)
