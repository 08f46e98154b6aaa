--- A script that put another status over an upstream's 304 had it sent without any framing on a connection that stayed open: the client took
--- the next answer for its content.
local origin = require "t.support.origin"
local server = require "t.support.server"

describe("another status over an upstream's 304", function()
    local s

    setup(function()
        local o = origin.start(function(self)
            self:serve(function(request)
                local length = request.target:match("length") and "Content-Length: 77\r\n" or ""
                return ("HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n%s\r\n"):format(length)
            end)
        end)
        s = server.start { script = ([[
            local mg = require "moongate"
            local app = mg.app()
            app:proxy("/*", mg.upstream { servers = { "%s" } })
            app:filter("/blind/*", function(req, next)
                local res = next(req)
                res.status = 200
                return res
            end)
            app:filter("/looking/*", function(req, next)
                local res = next(req)
                if res.status == 304 then res.status = 200 end
                return res
            end)
            return app
        ]]):format(o.address) }
    end)

    teardown(function()
        s:stop()
        server.sweep()
        origin.sweep()
    end)

    for _, path in ipairs { "/blind/a", "/looking/a", "/blind/length", "/looking/length" } do
        it("has no content, and says so: " .. path, function()
            local c = s:connect()
            c:send(("GET %s HTTP/1.1\r\nHost: a\r\n\r\nGET /plain HTTP/1.1\r\nHost: a\r\n\r\n"):format(path))
            local first = c:read()
            assert.equal(200, first.status)
            assert.equal("0", first:get("content-length"))
            assert.equal(304, c:read().status)
            c:close()
        end)
    end
end)
