--- Content that came while an upstream had enough was fed to it all the same: without a bound, and to one that was not connected yet until the
--- exchange failed for want of memory.
local origin = require "t.support.origin"
local process = require "t.support.process"
local server = require "t.support.server"

describe("an upload to an upstream that takes nothing", function()
    it("stops at the client, in bounded memory, and goes on when the upstream does", function()
        local bytes = 48 * 1048576
        local o = origin.start(function(self)
            local client = self:accept()
            self:accept(30):close() -- when the spec says so
            client.seconds = 30
            client:read_request()
            client:send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            client:expect_close(true)
        end)
        local s = server.start { script = ([[
            local app = require "moongate".app()
            app:proxy("/*", "http://%s", { body = "1g" })
            return app]]):format(o.address) }
        local c = s:connect()
        c:send(("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"):format(bytes))
        local sent = c:send_until_full(("x"):rep(bytes), 0.5)
        assert.is_true(sent < bytes, "all of it was taken")
        local anon = tonumber(process.read_file(("/proc/%d/status"):format(s:workers()[1])):match("RssAnon:%s*(%d+)"))
        assert.is_true(anon < 32768 * (server.sanitized and 10 or 1), anon .. " kB")
        assert(require "socket".connect(o.host, o.port)):close()
        c.seconds = 30
        c:send(("x"):rep(bytes - sent))
        assert.equal("ok", c:read().body)
        c:close()
        server.sweep()
        origin.sweep()
    end)
end)
