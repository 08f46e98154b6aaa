--- Expect: 100-continue (RFC 9110 §10.1.1): the client is told to send when the handler reads, not before and never in vain.
local gate_site = require "t.support.gate_site"
local http_text = require "t.support.http_text"
local server = require "t.support.server"

local s
setup(function() s = gate_site.start("limits = { body = '64k', body_time = '150ms', linger = '200ms' }") end)
teardown(function()
    s:stop()
    server.sweep()
end)

local function head(target, length, more)
    return ("POST %s HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n%s: %s\r\n%s\r\n"):format(target,
        length == "chunked" and "Transfer-Encoding" or "Content-Length", length, more or "")
end

describe("100 (Continue)", function()
    it("is sent when the handler reads, by length and chunked, again and again", function()
        local c = s:connect()
        for _ = 1, 3 do
            c:send(head("/echo", 5))
            local interim = c:read()
            assert.equal(100, interim.status)
            assert.same({}, interim.fields)
            c:expect_silence(0.01)
            c:send("hello")
            assert.equal("hello", c:read().body)
            c:send(head("/echo", "chunked"))
            assert.equal(100, c:read().status)
            c:send(http_text.chunked("he", "llo"))
            assert.equal("hello", c:read().body)
        end
        assert.equal("hello", c:get("/").body)
    end)

    it("is held back until the handler reads", function()
        local c = s:connect()
        c:send(head("/late/80", 5))
        c:expect_silence(0.04)
        assert.equal(100, c:read().status)
        c:send("hello")
        assert.equal("5", c:read().body)
    end)

    it("is left out when the content has come already", function()
        local c = s:connect()
        c:send(head("/late/20", 5) .. "hello")
        assert.equal("5", c:read().body)
        c:send(head("/echo", "chunked") .. http_text.chunked("hello"))
        assert.equal("hello", c:read().body)
    end)

    it("is not sent without content to come", function()
        local c = s:connect()
        c:send(head("/echo", 0))
        assert.equal(200, c:read().status)
        assert.equal("hello", c:get("/").body)
    end)

    it("is not sent to HTTP/1.0", function()
        local c = s:connect()
        c:send("POST /echo HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        c:expect_silence(0.03)
        c:send("hello")
        assert.equal("hello", c:read().body)
    end)

    it("waits for the answers before it in the pipeline, and its time with it", function()
        local c = s:connect()
        c:send(http_text.request("GET", "/sleep/300") .. head("/echo", 5)) -- longer than body_time
        assert.equal("300", c:read().body)
        assert.equal(100, c:read().status)
        c:send("hello")
        assert.equal("hello", c:read().body)
    end)

    it("that is not followed by content ends with 408", function()
        local c = s:connect()
        c:send(head("/echo", 5))
        assert.equal(100, c:read().status)
        assert.equal(408, c:read().status)
        c:expect_close()
    end)
end)

describe("a final answer instead", function()
    it("comes alone when the handler does not read, and the connection ends", function()
        for _, target in ipairs { "/leave", "/nowhere", "/n/1" } do
            local c = s:connect()
            c:send(head(target, 5))
            local response = c:read()
            assert.is_true(response.status >= 200)
            assert.equal("close", response:get("connection"), target)
            c:expect_close()
        end
    end)

    it("is 413 at once for a length beyond the limit", function()
        local c = s:connect()
        c:send(head("/echo", 65537))
        local response = c:read()
        assert.equal(413, response.status)
        assert.equal("close", response:get("connection"))
        c:expect_close()
    end)

    it("is 417 for another expectation", function()
        local c = s:connect()
        c:send("POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 200-maybe\r\nContent-Length: 5\r\n\r\n")
        assert.equal(417, c:read().status)
        c:expect_close()
    end)
end)
