--- Content of requests over real sockets: every size around the edges of buffers, by length and in chunks, whole and in odd pieces; content
--- that comes late, that nobody reads, that never comes to its end.
local gate_site = require "t.support.gate_site"
local http_text = require "t.support.http_text"
local server = require "t.support.server"

local s
setup(function() s = gate_site.start("limits = { body = '2m', unread = '64k', linger = '500ms', window = '16k' }") end)
teardown(function()
    s:stop()
    server.sweep()
end)

--- Bytes of every value, without a period that buffers share.
local function bytes_of(count)
    local parts, at = {}, 7
    while #parts * 251 < count do
        local run = {}
        for i = 1, 251 do
            at = (at * 5 + i) % 256
            run[i] = string.char(at)
        end
        parts[#parts + 1] = table.concat(run)
    end
    return table.concat(parts):sub(1, count)
end

--- The text in chunks whose sizes go round a list.
local function chunked(text, sizes)
    local pieces, at, turn = {}, 1, 0
    while at <= #text do
        turn = turn % #sizes + 1
        pieces[#pieces + 1] = text:sub(at, at + sizes[turn] - 1)
        at = at + sizes[turn]
    end
    return http_text.chunked(unpack(pieces))
end

local SIZES = { 0, 1, 2, 1023, 1024, 1025, 4095, 4096, 4097, 8191, 8192, 8193, 16383, 16384, 16385, 65535, 65536, 65537, 1048576 }

local function same(expected, response, what)
    assert.equal(200, response.status, what)
    assert.equal(#expected, #response.body, what)
    assert.is_true(expected == response.body, what) -- without printing a megabyte
end

describe("content comes back intact", function()
    it("by length, all sizes on one connection", function()
        local c = s:connect()
        for _, size in ipairs(SIZES) do same(bytes_of(size), c:post("/echo", bytes_of(size)), size) end
    end)

    it("in chunks of odd sizes, all sizes on one connection", function()
        local c = s:connect()
        for _, size in ipairs(SIZES) do
            for _, sizes in ipairs { { 1000000 }, { 4096 }, { 1, 7, 1000, 3, 4095, 17, 16384, 2 } } do
                local text = bytes_of(size)
                same(text, c:request("POST", "/echo", { ["transfer-encoding"] = "chunked" }, chunked(text, sizes)), size)
            end
        end
    end)

    it("sent in pieces that end anywhere", function()
        for _, piece in ipairs { 1, 3, 1021, 4099 } do
            local text = bytes_of(piece == 1 and 700 or 70000)
            local c = s:connect()
            c:send_pieces(http_text.request("POST", "/echo", nil, text), piece)
            same(text, c:read(), piece)
            c:send_pieces(http_text.request("POST", "/echo", { ["transfer-encoding"] = "chunked" }, chunked(text, { 5, 300, 1 })), piece)
            same(text, c:read(), piece)
            c:close()
        end
    end)

    it("cut at every byte of a chunked request", function()
        local request = http_text.request("POST", "/echo", { ["transfer-encoding"] = "chunked" },
            "3;a=b\r\nabc\r\n0A\r\n0123456789\r\n0\r\nX-T: v\r\n\r\n")
        for at = 1, #request - 1 do
            local c = s:connect()
            c:send(request:sub(1, at))
            c:expect_silence(0.001)
            c:send(request:sub(at + 1))
            same("abc0123456789", c:read(), at)
            c:close()
        end
    end)

    it("with the next requests right behind it", function()
        local c, parts = s:connect(), {}
        for n = 1, 10 do
            local text = bytes_of(n * 777)
            parts[#parts + 1] = http_text.request("POST", "/echo", nil, text)
            parts[#parts + 1] = http_text.request("POST", "/echo", { ["transfer-encoding"] = "chunked" }, chunked(text, { n * 50 }))
            parts[#parts + 1] = http_text.request("GET", "/n/" .. n)
        end
        c:send(table.concat(parts))
        for n = 1, 10 do
            same(bytes_of(n * 777), c:read(), n)
            same(bytes_of(n * 777), c:read(), n)
            assert.equal(tostring(n), c:read().body)
        end
    end)

    it("when the handler reads long after it came, and more than a window of it waits", function()
        local c = s:connect()
        c:send(http_text.request("POST", "/late/100", nil, bytes_of(1048576)) .. http_text.request("GET", "/n/1"))
        assert.equal("1048576", c:read().body)
        assert.equal("1", c:read().body)
        c:send(http_text.request("POST", "/late/50", { ["transfer-encoding"] = "chunked" }, chunked(bytes_of(300000), { 5000 })))
        assert.equal("300000", c:read().body)
        assert.equal("hello", c:get("/").body)
    end)
end)

describe("content that nobody reads", function()
    it("is dropped when it is little, and the connection goes on", function()
        local c = s:connect()
        for _, size in ipairs { 1, 4096, 65535, 65536 } do
            local response = c:post("/leave", bytes_of(size))
            assert.equal("left", response.body, size)
            assert.is_nil(response:get("connection"), size)
        end
        assert.equal("left", c:request("POST", "/leave", { ["transfer-encoding"] = "chunked" }, chunked(bytes_of(60000), { 999 })).body)
        assert.equal("hello", c:get("/").body)
    end)

    it("is dropped also when it comes after the answer", function()
        local c = s:connect()
        c:send("POST /leave HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n")
        assert.equal("left", c:read().body)
        c:send_pieces(bytes_of(60000), 7001)
        c:send("POST /leave HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe")
        assert.equal("left", c:read().body)
        c:send("llo\r\n0\r\n\r\n")
        assert.equal("hello", c:get("/").body)
    end)

    it("ends the connection when it is large; the answer says so and can be read by a client that still sends", function()
        local c = s:connect()
        local text = bytes_of(900000)
        c:send_until_full(http_text.request("POST", "/leave", nil, text), 0.5)
        local response = c:read()
        assert.equal("left", response.body)
        assert.equal("close", response:get("connection"))
        c:expect_close(true)
    end)

    it("ends the connection when chunks go on beyond the limit", function()
        local c = s:connect()
        c:send("POST /leave HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert.equal("left", c:read().body)
        c:send_until_full(chunked(bytes_of(200000), { 4000 }), 0.5)
        c:expect_close(true)
    end)

    it("is read in part: what is left is dropped", function()
        local partly = gate_site.start("limits = { unread = '64k' }", [[
            app:post("/partly", function(req) local piece = req:chunks()() return "got " .. (#piece > 0 and "some" or "nothing") end)
        ]])
        local c = partly:connect()
        for _ = 1, 3 do assert.equal("got some", c:post("/partly", bytes_of(50000)).body) end
        assert.equal("hello", c:get("/").body)
        partly:stop()
    end)
end)

describe("content that does not come to its end", function()
    it("is 400 when the client ends its side in the middle, and the answer reaches it", function()
        for _, begun in ipairs { "Content-Length: 10\r\n\r\nhello", "Content-Length: 10\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
            "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n" } do
            local c = s:connect()
            c:send("POST /echo HTTP/1.1\r\nHost: a\r\n" .. begun)
            c:shutdown()
            assert.equal(400, c:read().status, begun)
            c:expect_close()
        end
    end)

    it("harms nobody when the client resets", function()
        for at = 1, 20 do
            local c = s:connect()
            c:send("POST /late/5 HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" .. bytes_of(at * 1000))
            c:reset()
        end
        assert.equal("hello", s:get("/").body)
        assert.falsy(s:log():find("error", 1, true))
    end)
end)

describe("answers to requests with content", function()
    it("errors of the handler are answered and the content is dropped", function()
        local raising = gate_site.start("", [[app:post("/raise", function() error("no") end) app:post("/nil", function() end)]])
        local c = raising:connect()
        assert.equal(500, c:post("/raise", bytes_of(5000)).status)
        assert.equal(500, c:post("/nil", bytes_of(5000)).status)
        assert.equal(404, c:post("/nowhere", bytes_of(5000)).status)
        assert.equal(405, c:post("/n/1", bytes_of(5000)).status)
        assert.equal("hello", c:get("/").body)
        raising:stop()
    end)
end)
