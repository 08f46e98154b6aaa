local ffi = require "ffi"
local c = require "t.support.c"
c.header("net/net.h", "http/head.h", "proxy/forward.h")
local lib = c.lib()
lib.http_head_select(0)

local reason = ffi.new("const char *[1]")

local function parse(text, response)
    local bytes = ffi.new("char[?]", #text + 64)
    ffi.copy(bytes, text, #text)
    local scan, progress, head = ffi.new("struct http_scan"), ffi.new("struct http_head_progress"), ffi.new("struct http_head")
    local limits = ffi.new("struct http_head_limits", { 60000, 61440, 128 })
    lib.http_scan_begin(scan, bytes, #text)
    local n = (response and lib.http_response_parse or lib.http_request_parse)(scan, 0, limits, progress, head, reason)
    assert(n == #text, n < 0 and ffi.string(reason[0]) or "the head is not whole")
    return head, bytes
end

local function slice(text)
    return ffi.new("struct slice", { text or "", text and #text or 0 })
end

--- The request head that would be sent for this one; or nil and the error.
local function forward(text, options)
    local o = options or {}
    local head, base = parse(text)
    local keep = { o.target, o.path, o.client, o.id, o.scheme }
    local request = ffi.new("struct proxy_request")
    request.head, request.base = head, base
    request.target, request.path, request.client = slice(o.target), slice(o.path), slice(o.client)
    request.scheme, request.id = slice(o.scheme), slice(o.id)
    request.body_kind, request.length = o.kind or ffi.C.BODY_NONE, o.length or 0
    local room = o.room or 65536
    local out = ffi.new("char[?]", room)
    local n = lib.forward_request(request, slice("origin:80"), out, room)
    assert(#keep <= 5)
    if n < 0 then return nil, n end
    return ffi.string(out, n)
end

local function lines_of(text)
    local lines = {}
    for line in text:gmatch("([^\r\n]*)\r\n") do lines[#lines + 1] = line end
    return lines
end

local function skipped(text)
    local head, base = parse(text, true)
    local set = ffi.new("struct forward_set")
    lib.forward_response_skip(head, base, set)
    local names = {}
    for i = 0, head.field_count - 1 do
        if lib.forward_set_has(set, i) ~= 0 then
            names[#names + 1] = ffi.string(base + head.fields[i].name.at, head.fields[i].name.bytes):lower()
        end
    end
    return table.concat(names, " ")
end

describe("forwarding a request", function()
    it("writes the head anew, with what a gateway adds", function()
        local text = forward("GET /a?b=1 HTTP/1.1\r\nhOsT: example.org\r\nX-One:   1  \r\nAccept: */*\r\n\r\n",
            { client = "10.1.2.3", scheme = "http" })
        assert.same({ "GET /a?b=1 HTTP/1.1", "Host: example.org", "X-One: 1", "Accept: */*", "Via: 1.1 moongate",
            "X-Forwarded-For: 10.1.2.3", "X-Forwarded-Proto: http", "X-Forwarded-Host: example.org", "" }, lines_of(text))
    end)

    it("leaves out what belongs to one connection, and what Connection names", function()
        local text = forward("GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X-Mine\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\n" ..
            "TE: trailers\r\nTrailer: X\r\nProxy-Authorization: b\r\nProxy: evil\r\nx-mine: 1\r\nX-Mine: 2\r\nX-Mine-Too: 3\r\n\r\n")
        assert.same({ "GET / HTTP/1.1", "Host: a", "X-Mine-Too: 3", "Via: 1.1 moongate", "X-Forwarded-Host: a", "" }, lines_of(text))
    end)

    it("does not pass on Expect or Upgrade", function()
        local text = forward("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nUpgrade: websocket\r\nConnection: upgrade\r\n" ..
            "Content-Length: 3\r\n\r\n", { kind = ffi.C.BODY_LENGTH, length = 3 })
        assert.not_matches("[Ee]xpect", text)
        assert.not_matches("[Uu]pgrade", text)
        assert.matches("Content%-Length: 3\r\n", text)
    end)

    it("appends the client to the addresses that came, in one line", function()
        local text = forward("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2, 3.3.3.3\r\n\r\n",
            { client = "::1" })
        assert.matches("X%-Forwarded%-For: 1%.1%.1%.1, 2%.2%.2%.2, 3%.3%.3%.3, ::1\r\n", text)
        local _, count = text:gsub("Forwarded%-For", "")
        assert.equal(1, count)
    end)

    it("sets scheme and host itself, whatever the client claims", function()
        local text = forward("GET / HTTP/1.1\r\nHost: a:8080\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n\r\n",
            { scheme = "http" })
        assert.matches("X%-Forwarded%-Proto: http\r\n", text)
        assert.matches("X%-Forwarded%-Host: a:8080\r\n", text)
        assert.not_matches("evil", text)
        assert.not_matches("https", text)
    end)

    it("keeps the request id that came and gives one to a request without", function()
        assert.matches("X%-Request%-Id: ours\r\n", forward("GET / HTTP/1.1\r\nHost: a\r\n\r\n", { id = "ours" }))
        local text = forward("GET / HTTP/1.1\r\nHost: a\r\nx-request-id: theirs\r\n\r\n", { id = "ours" })
        assert.matches("x%-request%-id: theirs\r\n", text)
        assert.not_matches("ours", text)
    end)

    it("has exactly one framing field, made from what is sent", function()
        local post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"
        local function framing(text)
            local found = {}
            for _, line in ipairs(lines_of(text)) do
                if line:lower():match("^content%-length") or line:lower():match("^transfer%-encoding") then found[#found + 1] = line end
            end
            return table.concat(found, "|")
        end
        assert.equal("Content-Length: 10", framing(forward(post, { kind = ffi.C.BODY_LENGTH, length = 10 })))
        assert.equal("Transfer-Encoding: chunked", framing(forward(post, { kind = ffi.C.BODY_CHUNKED })))
        local chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        assert.equal("Transfer-Encoding: chunked", framing(forward(chunked, { kind = ffi.C.BODY_CHUNKED })))
        assert.equal("Content-Length: 0", framing(forward("POST / HTTP/1.1\r\nHost: a\r\n\r\n")))
        assert.equal("", framing(forward("GET / HTTP/1.1\r\nHost: a\r\n\r\n")))
    end)

    it("speaks 1.1 to the upstream and says in Via what the client spoke", function()
        local text = forward("GET / HTTP/1.0\r\nVia: 1.0 other\r\n\r\n")
        assert.same({ "GET / HTTP/1.1", "Host: origin:80", "Via: 1.0 other", "Via: 1.0 moongate", "" }, lines_of(text))
    end)

    it("makes the origin form of an absolute target", function()
        assert.matches("^GET /x%?y HTTP/1.1\r\nHost: b\r\n", forward("GET http://b/x?y HTTP/1.1\r\nHost: b\r\n\r\n"))
        assert.matches("^GET / HTTP/1.1\r\n", forward("GET http://b HTTP/1.1\r\nHost: b\r\n\r\n"))
        assert.matches("^OPTIONS %* HTTP/1.1\r\n", forward("OPTIONS * HTTP/1.1\r\nHost: b\r\n\r\n"))
    end)

    it("sends the path as it was routed, and the target that it is told", function()
        local text = "GET /a/../b%41?q HTTP/1.1\r\nHost: a\r\n\r\n"
        assert.matches("^GET /bA%?q HTTP", forward(text, { path = "/bA" }))
        assert.matches("^GET /new%?x=1 HTTP", forward(text, { path = "/bA", target = "/new?x=1" }))
        assert.matches("^GET /bA%? HTTP", forward("GET /b? HTTP/1.1\r\nHost: a\r\n\r\n", { path = "/bA" }))
    end)

    for _, target in ipairs { "/a b", "/a\r\nX: 1", "/a\nb", "/\0", "/a#b", "a", "http://x/", "/\127", "**" } do
        it(("refuses to send the target %q"):format(target), function()
            assert.same({ nil, -22 }, { forward("GET / HTTP/1.1\r\nHost: a\r\n\r\n", { target = target }) })
        end)
    end

    for _, name in ipairs { "cookie", "X-Forwarded-For", "x-forwarded-PROTO", "Forwarded", "Content-Type" } do
        it("refuses a Connection that would take " .. name .. " out", function()
            assert.same({ nil, -74 }, { forward("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive,\t" .. name .. " \r\n\r\n") })
        end)
    end

    it("does not tunnel", function()
        assert.same({ nil, -22 }, { forward("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n") })
    end)

    it("says when the head is longer than the room, and not a byte sooner", function()
        local text = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        local bytes = #forward(text)
        assert.equal(bytes, #forward(text, { room = bytes }))
        assert.same({ nil, -7 }, { forward(text, { room = bytes - 1 }) })
    end)
end)

describe("forwarding a response", function()
    it("keeps the end-to-end fields", function()
        assert.equal("", skipped("HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nDate: x\r\nServer: y\r\nETag: \"z\"\r\nVia: 1.1 q\r\n\r\n"))
    end)

    it("drops hop-by-hop and framing fields and those that Connection names", function()
        assert.equal("connection keep-alive x-hop content-length x-hop proxy-authenticate",
            skipped("HTTP/1.1 200 OK\r\nConnection: x-hop , keep-alive\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nContent-Length: 0\r\n" ..
                "X-HOP: 2\r\nProxy-Authenticate: b\r\nX-Hopp: 3\r\n\r\n"))
        assert.equal("transfer-encoding trailer", skipped("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\n\r\n"))
    end)

    it("handles as many fields as a head may have", function()
        local lines = { "HTTP/1.1 200 OK" }
        for i = 1, 127 do lines[#lines + 1] = ("X-%d: %d"):format(i, i) end
        lines[#lines + 1] = "Connection: x-64, x-127"
        assert.equal("x-64 x-127 connection", skipped(table.concat(lines, "\r\n") .. "\r\n\r\n"))
    end)
end)
