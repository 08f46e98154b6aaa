--- What is not content: tunnels, interim responses and trailers, in the whole program.
local origin = require "t.support.origin"
local server = require "t.support.server"

local UPGRADE = "GET %s HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n"
local SWITCH = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: a\r\nX-Hop: 1\r\n\r\n"

local function line_of(client)
    local bytes = {}
    repeat
        bytes[#bytes + 1] = client:read_bytes(1)
    until bytes[#bytes] == "\n"
    return table.concat(bytes)
end

--- An origin whose tunnel says everything back, in capitals.
local function echoes(request, _, client)
    if request.target:match("/plain") then return "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain" end
    if request:get("upgrade") ~= "websocket" then return "HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n" end
    client:send(SWITCH)
    client.seconds = 60
    while true do
        local line = request.target == "/big" and client:read_bytes(1000) or line_of(client)
        client:send(line:upper())
        if line == "bye\n" then return nil end
    end
end

local function site(address, options)
    return ([[
        local mg = require "moongate"
        local app = mg.app()
        app:proxy("/*", "http://%s"%s)
        return app]]):format(address, options or "")
end

describe("a tunnel", function()
    local s, o
    after_each(function()
        server.sweep()
        origin.sweep()
    end)

    local function open(target, more)
        local c = s:connect()
        c:send(UPGRADE:format(target or "/ws") .. (more or ""))
        local head = c:read_head()
        return c, head
    end

    local function start(options, workers)
        o = origin.start(function(self) self:serve(echoes) end)
        s = server.start { script = site(o.address, options), workers = workers }
    end

    it("goes through for a WebSocket, and ends when the upstream ends it", function()
        start()
        local c, head = open()
        assert.equal(101, head.status)
        assert.equal("websocket", head:get("upgrade"))
        assert.matches("[Uu]pgrade", head:get("connection"))
        assert.equal("a", head:get("sec-websocket-accept"))
        c:send("one\n")
        assert.equal("ONE\n", line_of(c))
        c:send("two\nbye\n")
        assert.equal("TWO\n", line_of(c))
        assert.equal("BYE\n", line_of(c))
        c:expect_close()
    end)

    it("takes what came with the request", function()
        start()
        local c, head = open("/ws", "early\n")
        assert.equal(101, head.status)
        assert.equal("EARLY\n", line_of(c))
        c:close()
    end)

    it("leaves what came behind to HTTP when the upstream does not change the protocol", function()
        start()
        local c = s:connect()
        c:send(UPGRADE:format("/plain") .. "GET /plain/2 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert.equal("plain", c:read().body)
        assert.equal("plain", c:read().body)
        c:close()
    end)

    it("is not asked for where the route does not let it pass", function()
        start(", { upgrade = false }")
        local c, head = open()
        assert.equal(400, head.status)
        c:close()
        s:stop()
        start(', { upgrade = { "other" } }')
        c, head = open()
        assert.equal(400, head.status)
        c:close()
    end)

    it("goes on over a reload, on what it began with", function()
        start()
        local c = open()
        for i = 1, 3 do
            require "t.support.process".write_file(s.file, site(o.address, (", { timeout = { head = \"%ds\" } }"):format(i)))
            local code, out, err = server.run { "reload", "--name", s.name }
            assert.equal(0, code, out .. tostring(err))
            c:send("after " .. i .. "\n")
            assert.equal("AFTER " .. i .. "\n", line_of(c))
        end
        c:close()
    end)

    it("carries much both ways at once, no faster than it is taken", function()
        start()
        local c = open("/big")
        local line = ("x"):rep(999) .. "\n"
        local child = require "t.support.process".fork({ c.socket:getfd() }, function()
            for _ = 1, 3000 do c:send(line) end
        end)
        local got = 0
        while got < 3000 do
            assert.equal(1000, #c:read_bytes(1000))
            got = got + 1
        end
        child:wait(5)
        c:close()
    end)

    it("ends when the client is gone, and when nobody says anything", function()
        o = origin.start(function(self)
            for _ = 1, 2 do
                local client = self:accept()
                client:read_request()
                client:send(SWITCH)
                client.seconds = 20
                self:note("end: " .. client:read_to_end())
            end
        end)
        s = server.start { script = site(o.address, ', { timeout = { tunnel = "300ms" } }') }
        local c = open()
        c:send "gone"
        c:close()
        assert.equal("end: gone", o:note_of(1))
        c = open()
        c:expect_close()
        assert.equal("end: ", o:note_of(2))
        s:wait_log("neither side of the tunnel said anything for 300ms")
    end)
end)

describe("an upstream's answer", function()
    local s, o
    setup(function()
        o = origin.start(function(self)
            self:serve(function(request, _, client)
                if request.target == "/early" then
                    client:send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
                    return "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
                end
                return ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\nX-TE: %s\r\n\r\n"):format(
                    request:get("te") or "none")
            end)
        end)
        s = server.start { script = site(o.address) }
    end)
    teardown(function()
        server.sweep()
        origin.sweep()
    end)

    it("brings 103 to a client of HTTP/1.1, before its own head and in its turn", function()
        local c = s:connect()
        c:send("GET /early HTTP/1.1\r\nHost: a\r\n\r\nGET /early HTTP/1.1\r\nHost: a\r\n\r\n")
        for _ = 1, 2 do
            local early = c:read_head()
            assert.equal(103, early.status)
            assert.equal("</a.css>; rel=preload", early:get("link"))
            assert.equal("ok", c:read().body)
        end
        c:close()
        c = s:connect()
        c:send("GET /early HTTP/1.0\r\n\r\n")
        assert.equal(200, c:read_head().status)
        c:close()
    end)

    it("brings trailers to a client that takes them, and to no other", function()
        local c = s:connect()
        c:send("GET /t HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE, close\r\n\r\n")
        assert.equal(200, c:read_head().status)
        assert.equal("2\r\nok\r\n0\r\nX-Sum: 7\r\nX-TE: trailers\r\n\r\n", c:read_to_end())
        c = s:connect()
        c:send("GET /t HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        c:read_head()
        assert.equal("2\r\nok\r\n0\r\n\r\n", c:read_to_end())
    end)
end)
