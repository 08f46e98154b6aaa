--- The tools of the black-box specs, tested on each other: a tool that sees nothing would let everything pass.
local http_text = require "t.support.http_text"
local origin = require "t.support.origin"
local process = require "t.support.process"
local wire = require "t.support.wire"

after_each(function()
    origin.sweep()
    wire.sweep()
end)

--- A connection to an origin that sends this and closes.
local function client_of(bytes)
    local o = origin.start(function(o) o:accept():send(bytes):close() end)
    return wire.connect(o.host, o.port)
end

describe("the raw client", function()
    it("reads bodies by length, by chunks and to the close", function()
        local o = origin.start(function(o)
            local c = o:accept()
            c:read_request()
            c:send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: 1\r\nx-a:  2 \r\n\r\nok")
            c:read_request()
            c:send_pieces("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\nX-T: t\r\n\r\n")
            c:read_request()
            c:send("HTTP/1.1 200 OK\r\n\r\nto the end")
            c:close()
        end)
        local c = wire.connect(o.host, o.port)
        local first = c:get("/")
        assert.equal("ok", first.body)
        assert.equal("1, 2", first:get("X-a"))
        local second = c:get("/")
        assert.equal("abcde", second.body)
        assert.equal(2, second.chunks)
        assert.same({ { "X-T", "t" } }, second.trailers)
        assert.equal("to the end", c:get("/").body)
        c:expect_close()
        o:finish()
    end)

    it("knows which answers have no content", function()
        local c = client_of("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"
            .. "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n")
        for _, status in ipairs { 100, 204, 304 } do
            local response = c:read()
            assert.equal(status, response.status)
            assert.equal("", response.body)
        end
        assert.equal("", c:read("HEAD").body)
        c:expect_close()
    end)

    it("raises at what a careful peer would refuse", function()
        local cases = {
            ["HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n"] = "CRLF",
            ["HTTP/2 200 OK\r\n\r\n"] = "not a status line",
            ["HTTP/1.1 200\r\n\r\n"] = "not a status line",
            ["HTTP/1.1 200 OK\r\nA : b\r\n\r\n"] = "not a field line",
            ["HTTP/1.1 200 OK\r\n folded\r\n\r\n"] = "not a field line",
            ["HTTP/1.1 200 OK\r\nA: b\1\r\n\r\n"] = "control character",
            ["HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx"] = "several Content%-Length",
            ["HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\nx"] = "not a Content%-Length",
            ["HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n"] = "Transfer%-Encoding with",
            ["HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"] = "other than chunked",
            ["HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"] = "in HTTP/1.0",
            ["HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"] = "without content",
            ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n"] = "does not end with CRLF",
            ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;a=b\r\na\r\n0\r\n\r\n"] = "not a chunk size",
            ["HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab"] = "the connection ended",
        }
        for bytes, fault in pairs(cases) do
            local c = client_of(bytes)
            assert.error_matches(function() c:read() end, fault)
        end
    end)

    it("tells a close from silence and from bytes", function()
        local o = origin.start(function(o)
            local quiet, chatty = o:accept(), o:accept()
            chatty:send("x")
            quiet:read_to_end()
        end)
        local quiet, chatty = wire.connect(o.host, o.port, { seconds = 0.05 }), wire.connect(o.host, o.port)
        quiet:expect_silence(0.01)
        assert.error_matches(function() quiet:expect_close() end, "still open")
        assert.error_matches(function() quiet:read() end, "nothing more")
        assert.error_matches(function() chatty:expect_close() end, "expected the close")
        assert.error_matches(function() chatty:expect_silence(1) end, "expected silence")
        quiet:close()
        o:finish()
        assert.is_true(wire.is_refused(o.host, o.port))
    end)

    it("sends pipelined requests as one text and reads the answers in order", function()
        local o = origin.start(function(o)
            o:serve(function(request)
                return ("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"):format(#request.target, request.target)
            end)
        end)
        local a, b = wire.connect(o.host, o.port), wire.connect(o.host, o.port)
        assert.equal("/b", b:get("/b").body)
        local bodies = {}
        for at, response in ipairs(a:pipeline { "/1", "/22", { "POST", "/333", nil, "content" } }) do bodies[at] = response.body end
        assert.same({ "/1", "/22", "/333" }, bodies)
    end)

    it("writes requests with the fields that a request must have, and no others twice", function()
        assert.equal("GET / HTTP/1.1\r\nHost: test\r\n\r\n", wire.request("GET", "/"))
        assert.equal("PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", wire.request("PUT", "/x", { Host = "a" }, "hi"))
        assert.equal("PUT / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
            wire.request("PUT", "/", { { "Transfer-Encoding", "chunked" } }, http_text.chunked("hi")))
    end)
end)

describe("a scripted origin", function()
    it("tells what it saw, whole, up to 64 KiB", function()
        local long = ("x"):rep(65536)
        local o = origin.start(function(o)
            o:note "first"
            o:note(long)
        end)
        assert.equal("first", o:note_of(1))
        assert.equal(long, o:note_of(2))
        assert.error_matches(function() o:note_of(3) end, "ended after 2 notes")
    end)

    it("hands its script's error to the spec", function()
        local o = origin.start(function() error("the script is wrong") end)
        assert.error_matches(function() o:finish() end, "the script is wrong")
    end)
end)

describe("a process", function()
    it("says how it ended", function()
        local code, out, err = process.run({ "sh", "-c", "echo out; echo err >&2; exit 3" }, 5)
        assert.same({ 3, "out\n", "err\n" }, { code, out, err })
        assert.equal(128 + 15, (process.run({ "sh", "-c", "kill $$" }, 5)))
        local missing, _, message = process.run({ "no-such-program-here" }, 5)
        assert.equal(127, missing)
        assert.matches("no%-such%-program%-here: ", message)
    end)

    it("is killed at its limit", function()
        local began = process.now()
        assert.is_nil((process.run({ "sleep", "60" }, 0.05)))
        assert.is_true(process.now() - began < 5)
    end)

    it("inherits no connection of its parent's", function()
        local o = origin.start(function(o) o:accept():expect_close() end)
        local c = wire.connect(o.host, o.port)
        local child = process.spawn { "sleep", "60" }
        c:close() -- the origin sees the end only when nobody else holds the connection
        o:finish()
        child:kill()
    end)
end)
