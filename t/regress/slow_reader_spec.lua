--- A client that took a large answer slowly, but without standing still, lost it to the idle time (kept connections) or to the stall time
--- taken as a limit of the whole (connections that close, with or without lingering).
local socket = require "socket"
local server = require "t.support.server"

after_each(server.sweep)

local BYTES, PIECE = 32e6, 1e6

describe("a large answer that is taken slowly", function()
    local function taken(request)
        local s = server.start { script = ([[
            local mg = require "moongate"
            local app = mg.app()
            app:any("/", function() return ("x"):rep(%d) end)
            return { app = app, limits = { idle = "100ms", write_stall = "500ms", linger = "100ms", unread = "1k" } }
        ]]):format(BYTES) }
        local c = s:connect()
        c:send(request)
        assert.equal(200, c:read_head().status)
        for _ = 1, BYTES / PIECE do
            assert.equal(PIECE, #c:read_bytes(PIECE))
            socket.select(nil, nil, 0.03) -- the slowness of this client
        end
        c:expect_close(true)
        s:stop()
    end

    it("arrives whole when the connection is kept", function() taken "GET / HTTP/1.1\r\nHost: a\r\n\r\n" end)

    it("arrives whole when the connection closes", function() taken "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" end)

    it("arrives whole when content was left unread", function()
        taken("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n" .. ("x"):rep(4000))
    end)
end)
