--- What comes beside content: interim responses, trailers, and bytes of another protocol.
local ffi = require "ffi"
local socket = require "socket"
local driver = require "t.proxy.driver"
local origin = require "t.support.origin"

local GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
local UPGRADE = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
local SWITCH = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\n\r\n"

local function get(pieces, options, head)
    local o = origin.start(function(self)
        local client = self:accept()
        client:read_request()
        if type(pieces) == "string" then client:send_pieces(pieces) else client:send(table.concat(pieces)) end
        client:expect_close(true)
    end)
    local d = driver.new()
    return d:run(d:begin(d:open("api", o.address), head or GET, options)), d
end

after_each(function()
    driver.sweep()
    origin.sweep()
end)

describe("interim responses", function()
    local EARLY = "HTTP/1.1 103 Early Hints\r\nLink: <a>\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n"
    local OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    it("are told where they are wanted, but for 100", function()
        for _, form in ipairs { "HTTP/1.1 100 Continue\r\n\r\n" .. EARLY .. EARLY .. OK, { "HTTP/1.1 100 Continue\r\n\r\n", EARLY, EARLY, OK } } do
            local x = get(form, { interims = true })
            assert.same({ "end", 200, "ok", 2 }, { x.ended, x.status, x.content, #x.interim })
            assert.same({ status = 103, fields = { link = "<a>" } }, x.interim[1])
        end
    end)

    it("are passed over where they are not", function()
        assert.is_nil(get({ EARLY, OK }).interim)
    end)
end)

describe("trailers", function()
    local HEAD = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\n"

    it("are told where they are wanted, without those that mean something else", function()
        local lines = "X-Sum: 1\r\nETag: \"a\"\r\nSet-Cookie: a=b\r\nContent-Type: x\r\nConnection: close\r\nCache-Control: no-store\r\nExpires: 0\r\n\r\n"
        for _, form in ipairs { HEAD .. lines, { HEAD, lines } } do
            local x, d = get(form, { trailers = true })
            assert.same({ "end", "abc", { ["x-sum"] = "1", etag = '"a"' } }, { x.ended, x.content, x.trailers })
            assert.equal(1, d:facts().idle)
        end
    end)

    it("are dropped where they are not", function()
        local x = get({ HEAD, "X-Sum: 1\r\n\r\n" })
        assert.same({ "end", "abc" }, { x.ended, x.content })
        assert.is_nil(x.trailers)
        assert.is_nil(get({ HEAD, "\r\n" }, { trailers = true }).trailers)
    end)

    it("that are none break the response", function()
        for _, lines in ipairs { "Content-Length: 3\r\n\r\n", "X Sum: 1\r\n\r\n", " X: 1\r\n\r\n", "X: \1\r\n\r\n" } do
            local x = get({ HEAD, lines }, { trailers = true })
            assert.same({ "broken", "abc" }, { x.ended, x.content })
        end
    end)
end)

describe("a tunnel", function()
    local function begin(answer, script, options, head)
        local o = origin.start(function(self)
            local client = self:accept()
            self:note(client:read_request().head)
            client:send(answer)
            if script then script(self, client) else client:expect_close(true) end
        end)
        local d = driver.new(options)
        return d:begin(d:open("api", o.address), head or UPGRADE, { upgrades = true, terms = d:terms(options and options.terms or "") }), d, o
    end

    it("begins with the 101 that was asked for, and carries bytes both ways", function()
        local x, d, o = begin(SWITCH .. "hello", function(self, client)
            self:note(client:read_bytes(8))
            client:send("bye")
        end)
        d:run(function() return table.concat(x.content) == "hello" end)
        assert.same({ 101, ffi.C.BODY_UNTIL_CLOSE }, { x.status, x.body_kind })
        assert.is_true(d:send(x, "one ") >= 0)
        assert.is_true(d:send(x, "two!") >= 0)
        assert.same({ "end", "hellobye" }, { d:run(x).ended, x.content })
        assert.matches("\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n", o:note_of(1))
        assert.equal("one two!", o:note_of(2))
        d:run(function() return d:facts().connections == 0 end)
    end)

    it("ends one way after the other", function()
        local x, d = begin(SWITCH, function(self, client)
            self:note(client:read_to_end())
            client:send("after the end")
        end)
        d:run(function() return x.status end)
        d:send(x, "all", true)
        assert.same({ "end", "after the end" }, { d:run(x).ended, x.content })
        assert.equal(-32, d:send(x, "more"))
    end)

    it("ends when nobody has said anything for so long", function()
        local x, d = begin(SWITCH, function(_, client) client:read_to_end() end, { tunnel_ms = 200 })
        d:run(function() return x.status end)
        for _ = 1, 4 do
            d:pass(80)
            assert.is_nil(x.ended)
            d:send(x, "x")
        end
        assert.equal("broken", d:run(x).ended)
        assert.matches("neither side of the tunnel said anything for 200ms", x.sentence)
    end)

    it("is not bound by the time for a response", function()
        local x, d = begin(SWITCH, nil, { between_ms = 100, terms = "total 500\n" })
        d:run(function() return x.status end)
        d:pass(700)
        assert.is_nil(x.ended)
        d:abort(x)
    end)

    for name, answer in pairs {
        ["of another protocol"] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
        ["that names none"] = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\r\n",
        ["whose Connection does not say so"] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
        ["that names two"] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    } do
        it("does not begin with a 101 " .. name, function()
            local x, d = begin(answer)
            assert.same({ "failed", 502 }, { d:run(x).ended, x.status })
        end)
    end

    it("is refused by any other answer, and the connection is used again", function()
        local x, d = begin("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
        assert.same({ "end", 403, "no" }, { d:run(x).ended, x.status, x.content })
        assert.equal(1, d:facts().idle)
    end)
end)
