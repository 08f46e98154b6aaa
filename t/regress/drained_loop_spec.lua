--- A request whose end somebody waits for (on_done), with an answer made in C behind it on the same connection, made the worker spin: the mark
--- that was asked for was reached already and not the one that was needed, so that nothing was sent any more, to nobody.
local origin = require "t.support.origin"
local server = require "t.support.server"

describe("a request with a hook after the answer", function()
    after_each(server.sweep)

    it("goes with a file and a forwarded answer behind it", function()
        local large = ("f"):rep(300000)
        local o = origin.start(function(o)
            o:serve(function() return "HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" .. ("p"):rep(300000) end)
        end)
        local s = server.start {
            files = { ["www/large"] = large },
            script = ([[
                local mg = require "moongate"
                local app = mg.app()
                local done = 0
                app:on_done(function() done = done + 1 end)
                app:get("/", function() return ("b"):rep(20000) end)
                app:get("/done", function() return tostring(done) end)
                app:files("/files/*", "www")
                app:proxy("/proxied/*", mg.upstream { servers = { "%s" } })
                return app
            ]]):format(o.address),
        }
        for _ = 1, 5 do
            local c = s:connect()
            local r = c:pipeline { "/", "/files/large", "/", "/proxied/x", "/", "/files/large" }
            assert.equal(large, r[2].body)
            assert.equal(("p"):rep(300000), r[4].body)
            assert.equal(large, r[6].body)
            c:close()
        end
        assert.equal("30", s:get("/done").body)
        s:stop()
        o:stop()
    end)
end)
