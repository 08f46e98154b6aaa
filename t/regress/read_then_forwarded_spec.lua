--- A request whose content a filter had read was forwarded without it: empty when it was chunked, and waiting for ever when it had a length.
--- What was read whole goes on to the upstream; what was read in pieces is gone.
local origin = require "t.support.origin"
local server = require "t.support.server"

describe("a request to forward whose content was read before", function()
    after_each(server.sweep)

    it("is forwarded when it was read whole; in pieces, it is answered 500 and the log says why", function()
        local o = origin.start(function(o)
            o:serve(function(r) return ("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"):format(#r.body, r.body) end)
        end)
        local s = server.start { script = ([[
            local mg = require "moongate"
            local app = mg.app()
            app:filter("/*", function(req, next)
                if req.path == "/all" then req:text() elseif req.path == "/part" then req:chunks()() end
                return next(req)
            end)
            app:proxy("/*", mg.upstream { servers = { "%s" } })
            return app
        ]]):format(o.address) }
        for _, path in ipairs { "/none", "/all", "/part" } do
            for _, chunked in ipairs { false, true } do
                local c = s:connect()
                c:send(("POST %s HTTP/1.1\r\nHost: a\r\n%s\r\n\r\n"):format(path, chunked and "Transfer-Encoding: chunked" or "Content-Length: 10"))
                c:send(chunked and "5\r\n12345\r\n" or "12345")
                c:send(chunked and "5\r\n67890\r\n0\r\n\r\n" or "67890")
                local r = c:read()
                assert.equal(path == "/part" and 500 or 200, r.status)
                if path ~= "/part" then assert.equal("1234567890", r.body) end
                c:close()
            end
        end
        assert.equal(200, s:connect():post("/all", "").status) -- there was nothing to read
        assert.matches("content was read in pieces before: it cannot be forwarded", s:stop(), 1, true)
        o:stop()
    end)
end)
