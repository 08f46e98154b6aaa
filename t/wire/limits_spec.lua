--- Every limit from both sides: what just fits is served, what is one more gets its answer.
local gate_site = require "t.support.gate_site"
local http_text = require "t.support.http_text"
local process = require "t.support.process"
local server = require "t.support.server"

after_each(server.sweep)

local function line_of(bytes) -- a request line of so many bytes, without its CRLF
    return "GET /n/" .. ("x"):rep(bytes - #"GET /n/ HTTP/1.1") .. " HTTP/1.1"
end

local function head_of(bytes, field_bytes) -- a head of so many bytes, in field lines of at most so many
    local text = "GET /n/1 HTTP/1.1\r\nHost: a\r\n"
    while #text + 2 < bytes do
        local left = bytes - 2 - #text
        local size = math.min(left, field_bytes or left)
        if left - size > 0 and left - size < 8 then size = left end
        text = text .. "X-A: " .. ("v"):rep(size - 7) .. "\r\n"
    end
    return text .. "\r\n"
end

--- Sends and expects a refusal with this status, readable, then the close.
local function is_refused(s, bytes, status, name)
    local c = s:connect()
    c:send_until_full(bytes, 0.3)
    local response = c:read()
    assert.equal(status, response.status, name)
    assert.equal("close", response:get("connection"), name)
    c:expect_close(true)
    c:close()
end

local function is_served(s, bytes, name)
    local c = s:connect()
    c:send(bytes)
    assert.equal(200, c:read().status, name)
    assert.equal(200, c:get("/").status, name)
    c:close()
end

describe("limits.line", function()
    it("serves a request line of so many bytes and refuses one more with 414", function()
        local s = gate_site.start("limits = { line = 200 }")
        is_served(s, line_of(200) .. "\r\nHost: a\r\n\r\n")
        is_refused(s, line_of(201) .. "\r\nHost: a\r\n\r\n", 414)
        is_refused(s, line_of(5000) .. "\r\nHost: a\r\n\r\n", 414)
        is_refused(s, "GET /" .. ("x"):rep(300), 414, "before its end has come")
        s:stop()
    end)

    it("is 8 KiB by default", function()
        local s = gate_site.start()
        is_served(s, line_of(8192) .. "\r\nHost: a\r\n\r\n")
        is_refused(s, line_of(8193) .. "\r\nHost: a\r\n\r\n", 414)
        s:stop()
    end)
end)

describe("limits.head", function()
    it("serves a head of so many bytes and refuses one more with 431, in one field or many, at once or in pieces", function()
        local s = gate_site.start("limits = { head = 1000 }")
        for _, field_bytes in ipairs { 2000, 100 } do
            is_served(s, head_of(1000, field_bytes), field_bytes)
            is_refused(s, head_of(1001, field_bytes), 431, field_bytes)
            is_refused(s, head_of(9000, field_bytes), 431, field_bytes)
        end
        is_refused(s, head_of(5000):sub(1, 1001), 431, "before its end has come")
        local c = s:connect()
        c:send_pieces(head_of(1000), 13)
        assert.equal(200, c:read().status)
        pcall(c.send_pieces, c, head_of(1001), 13)
        assert.equal(431, c:read().status)
        c:expect_close(true)
        s:stop()
    end)

    it("is 16 KiB by default", function()
        local s = gate_site.start()
        is_served(s, head_of(16384, 4000))
        is_refused(s, head_of(16385, 4000), 431)
        s:stop()
    end)

    it("may be raised to 60 KiB, also for heads that arrive slowly", function()
        local s = gate_site.start("limits = { head = 61440, line = 61440 }")
        is_served(s, head_of(61440, 1000))
        is_refused(s, head_of(61441, 1000), 431)
        local c = s:connect()
        c:send_pieces(head_of(61440, 1000), 4000)
        assert.equal(200, c:read().status)
        s:stop()
    end)
end)

describe("limits.fields", function()
    it("serves so many field lines and refuses one more with 431", function()
        for setting, most in pairs { [""] = 100, ["limits = { fields = 5 }"] = 5, ["limits = { fields = 128 }"] = 128 } do
            local s = gate_site.start(setting)
            local function with(count) return "GET / HTTP/1.1\r\nHost: a\r\n" .. ("X: y\r\n"):rep(count - 1) .. "\r\n" end
            is_served(s, with(most), most)
            is_refused(s, with(most + 1), 431, most)
            s:stop()
        end
    end)
end)

describe("limits.body", function()
    local function chunked(size, piece)
        local parts = {}
        for at = 1, size, piece do parts[#parts + 1] = ("b"):rep(math.min(piece, size - at + 1)) end
        return http_text.request("POST", "/echo", { ["transfer-encoding"] = "chunked" }, http_text.chunked(unpack(parts)))
    end

    it("serves a body of so many bytes and refuses one more with 413, by length and chunked", function()
        local s = gate_site.start("limits = { body = 5000 }")
        local c = s:connect()
        assert.equal(5000, #c:post("/echo", ("b"):rep(5000)).body)
        assert.equal(413, c:post("/echo", ("b"):rep(5001)).status)
        for _, piece in ipairs { 100, 4999, 5000, 8000 } do
            c = s:connect()
            c:send(chunked(5000, piece))
            assert.equal(5000, #c:read().body, piece)
            c:send(chunked(5001, piece))
            assert.equal(413, c:read().status, piece)
        end
        s:stop()
    end)

    it("refuses a length beyond it before any of the body is sent; the answer can be read", function()
        local s = gate_site.start("limits = { body = '1m' }")
        is_refused(s, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n", 413)
        is_refused(s, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775807\r\n\r\n", 413)
        is_refused(s, http_text.request("POST", "/echo", nil, ("b"):rep(1048577)), 413, "with all of the body")
        is_refused(s, chunked(1500000, 8000), 413, "chunked")
        s:stop()
    end)

    it("is 1 MiB by default, and a route may say otherwise", function()
        local s = gate_site.start("", [[
            app:post("/small", { body = "1k" }, function(req) local t, m, st = req:text() if not t then return st, m end return #t .. "" end)
            app:post("/large", { body = "2m" }, function(req) local t, m, st = req:text() if not t then return st, m end return #t .. "" end)
        ]])
        for target, most in pairs { ["/small"] = 1024, ["/large"] = 2097152, ["/late/0"] = 1048576 } do
            assert.equal(tostring(most), s:connect():post(target, ("b"):rep(most)).body, target)
            local c = s:connect()
            c:send_until_full(http_text.request("POST", target, nil, ("b"):rep(most + 1)), 0.3)
            assert.equal(413, c:read().status, target)
        end
        s:stop()
    end)

    it("of 0 takes no content, and requests without are served", function()
        local s = gate_site.start("limits = { body = 0 }")
        local c = s:connect()
        assert.equal(413, c:post("/echo", "x").status)
        assert.equal(200, s:connect():post("/echo", "").status)
        assert.equal("hello", s:get("/").body)
        s:stop()
    end)
end)

describe("limits.pipeline", function()
    it("runs so many requests of a connection at once; then reading pauses", function()
        local s = gate_site.start("limits = { pipeline = 4 }")
        local c = s:connect()
        local begin = process.now()
        c:send(http_text.request("GET", "/sleep/50"):rep(8))
        for _ = 1, 8 do c:read() end
        local took = process.now() - begin
        assert.is_true(took >= 0.099, tostring(took))
        assert.is_true(took < (server.sanitized and 1 or 0.19), tostring(took))
        s:stop()
    end)

    it("of 1 runs them one after the other; the time of a head does not run while it waits", function()
        local s = gate_site.start("limits = { pipeline = 1, head_time = '60ms' }")
        local c = s:connect()
        local text = http_text.request("GET", "/n/2")
        c:send(http_text.request("GET", "/sleep/150") .. text:sub(1, 10))
        c:send(text:sub(11))
        assert.equal("150", c:read().body)
        assert.equal("2", c:read().body)
        s:stop()
    end)
end)

describe("limits.requests", function()
    it("makes the requests beyond it wait, across connections, also when some that wait have gone", function()
        local s = gate_site.start("limits = { requests = 16, pipeline = 2, head_time = '100ms', idle = '100ms' }")
        local clients, leavers = {}, {}
        for n = 1, 16 do clients[n] = s:connect():send(http_text.request("GET", "/sleep/200")) end
        for n = 1, 40 do leavers[n] = s:connect():send(http_text.request("GET", "/n/leaver")) end
        for n = 17, 32 do clients[n] = s:connect():send(http_text.request("GET", "/sleep/1")) end
        for n = 1, 40 do leavers[n]:reset() end
        for n = 1, 32 do assert.equal(200, clients[n]:read().status, n) end
        s:stop()
    end)
end)

describe("limits.connections", function()
    it("pauses accepting; connections beyond it are served when others end, and none is refused", function()
        local s = gate_site.start("limits = { connections = 8 }")
        local clients = {}
        for n = 1, 8 do
            clients[n] = s:connect()
            assert.equal("hello", clients[n]:get("/").body)
        end
        for n = 9, 20 do clients[n] = s:connect():send(http_text.request("GET", "/n/" .. n)) end
        clients[20]:expect_silence(0.1)
        for n = 1, 12 do
            clients[n]:close()
            assert.equal(tostring(n + 8), clients[n + 8]:read().body)
        end
        s:stop()
    end)
end)

describe("limits.buffers", function()
    it("bounds the memory of answers that are not taken; others are served meanwhile", function()
        local s = gate_site.start("limits = { buffers = '8m', write_stall = '30s' }")
        local hogs = {}
        for n = 1, 20 do
            hogs[n] = s:connect()
            hogs[n]:send_until_full(http_text.request("GET", "/big/60000"):rep(100), 0.01)
        end
        for _ = 1, 20 do assert.equal("hello", s:get("/").body) end
        for n = 1, 20 do hogs[n]:reset() end
        assert.equal(100000, #s:get("/big/100000").body)
        assert.falsy(s:log():find("no memory", 1, true), s:log())
        s:stop()
    end)

    it("ends the connection whose answer does not fit in what is left, with a line in the log, and goes on", function()
        local s = gate_site.start("limits = { buffers = '1m' }")
        local c = s:connect()
        c:send(http_text.request("GET", "/big/3000000"))
        c:expect_close(true)
        s:wait_log("no memory for an answer")
        assert.equal("hello", s:get("/").body)
        assert.equal(100000, #s:get("/big/100000").body)
        s:stop()
    end)
end)

describe("a client that does not read", function()
    it("has no more requests run for it than fill a window", function()
        local s = gate_site.start("limits = { window = '32k', write_stall = '30s' }", [[
            local count = 0
            app:get("/count-up", function() count = count + 1 return ("c"):rep(2000) end)
            app:get("/count", function() return count .. "" end)
        ]])
        local c = s:connect()
        local request = http_text.request("GET", "/count-up", { ["x-padding"] = ("x"):rep(2000) })
        local total, sent = 0, nil
        repeat
            sent = c:send_until_full(request:rep(500), 0.1)
            total = total + sent
        until sent < 500 * #request or total > 64 * 1048576
        local ran = tonumber(s:get("/count").body)
        assert.is_true(total < 64 * 1048576, "all was read")
        assert.is_true(ran * #request < total, ("%d of %d requests ran"):format(ran, total / #request))
        local whole = math.floor(total / #request)
        c.seconds = 20
        for _ = 1, whole do assert.equal(2000, #c:read().body) end -- and all are answered once it reads
        c:close()
        s:stop()
    end)
end)
