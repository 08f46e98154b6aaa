--- Request smuggling: each family of attacks, as a front that reads the message one way would pass it on. What hides behind the
--- first message must never be taken for a request, and what is refused is refused whole.
local gate_site = require "t.support.gate_site"
local server = require "t.support.server"
local http_text = require "t.support.http_text"

local s
setup(function() s = gate_site.start("limits = { linger = '200ms' }") end)
teardown(function()
    s:stop()
    server.sweep()
end)

local HIDDEN = "GET /n/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"

local function post(fields, body) return "POST /echo HTTP/1.1\r\nHost: a\r\n" .. fields .. "\r\n" .. body end

--- The bytes are refused with `status`, nothing else is answered, no handler saw the hidden request.
local function is_refused(bytes, status, name)
    local c = s:connect()
    c:send(bytes)
    local response = c:read()
    assert.equal(status, response.status, name)
    assert.equal("close", response:get("connection"), name)
    c:expect_close()
    c:close()
    assert.falsy(gate_site.seen(s):find("smuggled", 1, true), name)
end

--- The hidden request is content: answered 200 with it, and the next request is the one sent after.
local function is_content(bytes, content, name)
    local c = s:connect()
    c:send(bytes .. "GET /n/next HTTP/1.1\r\nHost: a\r\n\r\n")
    local response = c:read()
    assert.equal(200, response.status, name)
    assert.equal(content, response.body, name)
    assert.equal("next", c:read().body, name)
    c:close()
    assert.falsy(gate_site.seen(s):find("smuggled", 1, true), name)
end

describe("smuggling", function()
    it("CL.TE: a length and a coding are refused together, in any order and spelling", function()
        local body = "0\r\n\r\n" .. HIDDEN
        local length = ("Content-Length: %d\r\n"):format(#body)
        for _, coding in ipairs { "Transfer-Encoding: chunked\r\n", "transfer-encoding:chunked\r\n", "TRANSFER-ENCODING: CHUNKED\r\n" } do
            is_refused(post(length .. coding, body), 400, coding)
            is_refused(post(coding .. length, body), 400, coding)
        end
    end)

    it("TE.CL: a length that ends before the chunks do is refused", function()
        local body = ("%x\r\n%s\r\n0\r\n\r\n"):format(#HIDDEN, HIDDEN)
        is_refused(post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", body), 400)
        is_refused(post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", body), 400)
    end)

    it("TE.TE: a coding that some hop may not see is refused", function()
        local body = "0\r\n\r\n" .. HIDDEN
        for coding, status in pairs {
            ["Transfer-Encoding: xchunked\r\n"] = 501, ["Transfer-Encoding : chunked\r\n"] = 400, ["Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n"] = 400,
            ["Transfer-Encoding:\11chunked\r\n"] = 400, ["X: x\r\n Transfer-Encoding: chunked\r\n"] = 400, ["Transfer-Encoding\r\n: chunked\r\n"] = 400,
            ["Transfer-Encoding: identity\r\n"] = 501, ["Transfer-Encoding: chunked, identity\r\n"] = 501, ["Transfer-Encoding: \"chunked\"\r\n"] = 400,
            ["X: x\nTransfer-Encoding: chunked\r\n"] = 400, ["Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"] = 400,
        } do
            is_refused(post(coding, body), status, coding)
            is_refused(post(coding .. "Content-Length: 5\r\n", body), status == 501 and 501 or 400, coding)
        end
    end)

    it("CL.0: content of GET, DELETE, OPTIONS and of a handler that does not read is never a request", function()
        for _, method in ipairs { "GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS" } do
            local c = s:connect()
            c:send(http_text.request(method, "/leave", nil, HIDDEN) .. "GET /n/next HTTP/1.1\r\nHost: a\r\n\r\n")
            assert.equal("left", c:read().body, method)
            assert.equal("next", c:read().body, method)
            c:close()
        end
        for _, target in ipairs { "/", "/nowhere", "/empty/204" } do
            local c = s:connect()
            c:send(http_text.request("GET", target, nil, HIDDEN) .. http_text.request("GET", target, { ["transfer-encoding"] = "chunked" }, http_text.chunked(HIDDEN))
                .. "GET /n/next HTTP/1.1\r\nHost: a\r\n\r\n")
            c:read()
            c:read()
            assert.equal("next", c:read().body, target)
        end
        assert.falsy(gate_site.seen(s):find("smuggled", 1, true))
    end)

    it("CL.0: content of HEAD is never a request", function()
        local c = s:connect()
        c:send(http_text.request("HEAD", "/", nil, HIDDEN) .. "GET /n/next HTTP/1.1\r\nHost: a\r\n\r\n")
        c:read("HEAD")
        assert.equal("next", c:read().body)
        assert.falsy(gate_site.seen(s):find("smuggled", 1, true))
    end)

    it("0.CL: a hidden length is refused, a plain one on GET counts", function()
        is_refused("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n Content-Length: 10\r\n\r\n" .. HIDDEN, 400)
        is_refused("GET / HTTP/1.1\r\nHost: a\r\nX: y\rContent-Length: 10\r\n\r\n" .. HIDDEN, 400)
        is_refused("GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 10\r\n\r\n" .. HIDDEN, 400)
        is_content(("GET /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s"):format(#HIDDEN, HIDDEN), HIDDEN)
    end)

    it("TE.0: a coding in HTTP/1.0 is refused, on OPTIONS it counts", function()
        is_refused("POST /echo HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" .. HIDDEN, 400)
        is_content("OPTIONS /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" .. http_text.chunked(HIDDEN), HIDDEN)
    end)

    it("lengths: duplicates, lists, signs and overflow are refused", function()
        for _, length in ipairs { "5\r\nContent-Length: 5", "5\r\nContent-Length: 0", "5, 5", "+5", "-5", "0x5", "5 0", "", "5_0", "5.0", "18446744073709551621" } do
            is_refused(post("Content-Length: " .. length .. "\r\n", "hello" .. HIDDEN), 400, length)
        end
    end)

    it("chunk sizes: signs, prefixes, white space, overflow and bare line ends are refused", function()
        for _, size in ipairs { "+5\r\n", "-5\r\n", "0x5\r\n", " 5\r\n", "5 \r\n", "5\t\r\n", "5\n", "5\r", "\r\n", "g\r\n", "5_\r\n", "10000000000000005\r\n",
            "8000000000000005\r\n", "00000000000000005\r\n", "ffffffffffffffff\r\n" } do
            is_refused(post("Transfer-Encoding: chunked\r\n", size .. "hello\r\n0\r\n\r\n" .. HIDDEN), 400, ("%q"):format(size))
        end
        is_content(post("Transfer-Encoding: chunked\r\n", "0000000000000005\r\nhello\r\n0\r\n\r\n"), "hello")
        is_content(post("Transfer-Encoding: chunked\r\n", "A\r\nhellohello\r\n000\r\n\r\n"), "hellohello")
    end)

    it("chunk data: what does not end where its size says is refused", function()
        for _, chunk in ipairs { "5\r\nhelloX\r\n0\r\n\r\n", "5\r\nhello\n0\r\n\r\n", "5\r\nhell\r\n0\r\n\r\n", "5\r\nhello0\r\n\r\n", "5\r\nhello\rX0\r\n\r\n",
            "5\r\nhello\r\n0\r\n\n", "5\r\nhello\r\n0\n\r\n", "0\r\n\rX" } do
            is_refused(post("Transfer-Encoding: chunked\r\n", chunk .. HIDDEN), 400, ("%q"):format(chunk))
        end
    end)

    it("chunk extensions: TERM.EXT and EXT.TERM, where one hop ends the line and the other does not", function()
        for _, size in ipairs { "5;\n", "5;a\n", "5;a=b\nXX\r\n", "5;a\rX=b\r\n", "5;=b\r\n", "5; a=b\r\n", "5;a =b\r\n", "5;a= b\r\n", "5;a=\"b\r\n", "5;a=\"\n\"\r\n",
            "5;;\r\n", "5;\r\n", "5;a=\r\n", "5;a\0b\r\n" } do
            is_refused(post("Transfer-Encoding: chunked\r\n", size .. "hello\r\n0\r\n\r\n" .. HIDDEN), 400, ("%q"):format(size))
        end
        for _, size in ipairs { "5;a\r\n", "5;a=b\r\n", "5;a=\"b;\\\"c\"\r\n", "5;a;b=c\r\n", "5;" .. ("e"):rep(255) .. "\r\n" } do
            is_content(post("Transfer-Encoding: chunked\r\n", size .. "hello\r\n0;last=1\r\n\r\n"), "hello", size)
        end
        is_refused(post("Transfer-Encoding: chunked\r\n", "5;" .. ("e"):rep(256) .. "\r\nhello\r\n0\r\n\r\n" .. HIDDEN), 400)
    end)

    it("trailers: framing and credentials are refused, others are dropped", function()
        for _, trailer in ipairs { "Content-Length: 5\r\n", "transfer-encoding: chunked\r\n", "Host: b\r\n", "Authorization: x\r\n", " folded\r\n", "X : y\r\n",
            "X: y\n", ": y\r\n", "X\r\n", "X: \1\r\n", "X: " .. ("t"):rep(8192) .. "\r\n", ("T: t\r\n"):rep(65) } do
            is_refused(post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n" .. trailer .. "\r\n" .. HIDDEN), 400, trailer:sub(1, 40))
        end
        is_content(post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\nX-Sum: 1\r\nContent-Lengths: 7\r\n\r\n"), "hello")
        is_content(post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n" .. ("T: t\r\n"):rep(64) .. "\r\n"), "hello")
    end)

    it("a body that is nearly all framing is refused", function()
        local chunk = "1;" .. ("e"):rep(200) .. "\r\nx\r\n"
        is_refused(post("Transfer-Encoding: chunked\r\n", chunk:rep(200) .. "0\r\n\r\n" .. HIDDEN), 400)
        is_content(post("Transfer-Encoding: chunked\r\n", chunk:rep(20) .. "0\r\n\r\n"), ("x"):rep(20))
        is_content(post("Transfer-Encoding: chunked\r\n", ("1\r\nx\r\n"):rep(20000) .. "0\r\n\r\n"), ("x"):rep(20000))
    end)

    it("a malformed content that no handler reads ends the connection after the answer", function()
        local c = s:connect()
        c:send("POST /leave HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n" .. HIDDEN)
        assert.equal("left", c:read().body)
        c:expect_close()
        assert.falsy(gate_site.seen(s):find("smuggled", 1, true))
    end)

    it("Expect: a final answer without reading closes, so that content is never taken for a request", function()
        local c = s:connect()
        c:send(("POST /leave HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"):format(#HIDDEN))
        local response = c:read()
        assert.equal("left", response.body)
        assert.equal("close", response:get("connection"))
        pcall(c.send, c, HIDDEN)
        c:expect_close(true)
        assert.falsy(gate_site.seen(s):find("smuggled", 1, true))
    end)

    it("Expect in odd spellings is refused or counts, and never hides content", function()
        for _, value in ipairs { "100-continuE x", "y 100-continue", "100-continue,", "\"100-continue\"", "100" } do
            is_refused(post(("Expect: %s\r\nContent-Length: %d\r\n"):format(value, #HIDDEN), HIDDEN), 417, value)
        end
        local c = s:connect()
        c:send(post(("Expect: 100-CONTINUE\r\nContent-Length: %d\r\n"):format(#HIDDEN), HIDDEN))
        local response = c:read()
        if response.status == 100 then response = c:read() end
        assert.equal(HIDDEN, response.body)
        assert.falsy(gate_site.seen(s):find("smuggled", 1, true))
    end)

    it("white space in names of fields is refused, not stripped", function()
        for _, name in ipairs { "Content-Length ", "Content-Length\t", " Content-Length", "Content Length", "Content-Length\160", "Content-Length\11" } do
            is_refused(post(name .. ": 5\r\n", "hello" .. HIDDEN), 400, ("%q"):format(name))
        end
    end)

    it("bytes behind a request with Connection: close are no requests", function()
        for _, fields in ipairs { "Connection: close\r\n", "Connection: keep-alive, close\r\n", "connection: CLOSE\r\n" } do
            local c = s:connect()
            c:send("GET / HTTP/1.1\r\nHost: a\r\n" .. fields .. "\r\n" .. HIDDEN:rep(3))
            assert.equal("hello", c:read().body)
            c:expect_close(true)
        end
        local c = s:connect()
        c:send("POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello" .. HIDDEN)
        assert.equal("hello", c:read().body)
        c:expect_close(true)
        c = s:connect()
        c:send("GET / HTTP/1.0\r\n\r\n" .. HIDDEN)
        assert.equal("hello", c:read().body)
        c:expect_close(true)
        assert.falsy(gate_site.seen(s):find("smuggled", 1, true))
    end)

    it("the queue of answers cannot be poisoned: one answer for each request, then the end", function()
        local c = s:connect()
        c:send("GET /n/1 HTTP/1.1\r\nHost: a\r\n\r\nGET /n/2 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n" .. HIDDEN)
        assert.equal("1", c:read().body)
        assert.equal(400, c:read().status)
        c:expect_close()
        assert.falsy(gate_site.seen(s):find("smuggled", 1, true))
    end)
end)
