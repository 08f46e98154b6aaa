local ffi = require "ffi"
local c = require "t.support.c"
c.header("net/net.h", "http/head.h", "proxy/forward.h", "proxy/terms.h")
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
    request.trusted, request.trailers, request.own = o.trusted and 1 or 0, o.trailers and 1 or 0, o.own and 1 or 0
    request.upgrades = o.upgrades and 1 or 0
    local terms, texts = ffi.new("struct terms", 0), {}
    terms.forwarded, terms.host = o.forwarded or ffi.C.FORWARDED_X, o.host or 0
    terms.ids, terms.traces = o.ids and 1 or 0, o.traces and 1 or 0
    for _, key in ipairs { "host_name", "strip", "prefix", "upgrades" } do
        texts[key] = o[key]
        terms[key] = slice(o[key])
    end
    local way = ffi.new("struct forward_way", { terms, slice("origin:80"), { 1, 2, 3, 4, 5 } })
    local room = o.room or 65536
    local out = ffi.new("char[?]", room)
    local n = lib.forward_request(request, way, out, room)
    assert(#keep <= 5 and texts)
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

    it("does not pass on Expect, nor an Upgrade that was not let pass", function()
        local text = forward("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nUpgrade: websocket\r\nConnection: upgrade\r\n" ..
            "Content-Length: 3\r\n\r\n", { kind = ffi.C.BODY_LENGTH, length = 3 })
        assert.not_matches("[Ee]xpect", text)
        assert.not_matches("[Uu]pgrade", text)
        assert.matches("Content%-Length: 3\r\n", text)
    end)

    it("puts the peer in the place of what a stranger says of the client", function()
        local text = forward("GET / HTTP/1.1\r\nHost: a:8080\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\n" ..
            "X-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\nForwarded: for=evil\r\nX-Real-IP: 6.6.6.6\r\n\r\n", { client = "9.9.9.9", scheme = "http" })
        assert.same({ "GET / HTTP/1.1", "Host: a:8080", "Via: 1.1 moongate", "X-Forwarded-For: 9.9.9.9", "X-Forwarded-Proto: http",
            "X-Forwarded-Host: a:8080", "" }, lines_of(text))
    end)

    it("adds the peer behind what a trusted one says of the client, in one line", function()
        local text = forward("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2, 3.3.3.3\r\n" ..
            "X-Forwarded-Proto: https\r\nX-Real-IP: 1.1.1.1\r\n\r\n", { client = "::1", scheme = "http", trusted = true })
        assert.same({ "GET / HTTP/1.1", "Host: a", "X-Forwarded-Proto: https", "X-Real-IP: 1.1.1.1", "Via: 1.1 moongate",
            "X-Forwarded-For: 1.1.1.1, 2.2.2.2, 3.3.3.3, ::1", "X-Forwarded-Host: a", "" }, lines_of(text))
    end)

    for _, name in ipairs { "X_Forwarded_For", "x-forwarded_FOR", "X_Real_IP", "Content_Length", "transfer_encoding", "Proxy", "X_Request-Id" } do
        it("takes away " .. name .. ", which an application could take for another", function()
            local text = forward("GET / HTTP/1.1\r\nHost: a\r\n" .. name .. ": 1\r\nX_Mine: 2\r\n\r\n", { trusted = true })
            assert.is_nil(text:find("\r\n" .. name, 1, true))
            assert.matches("\r\nX_Mine: 2\r\n", text)
        end)
    end

    it("says who asked in the standard field, with what has a colon in quotes", function()
        local function forwarded(came, options)
            options.forwarded, options.scheme = ffi.C.FORWARDED_STANDARD, "http"
            local text = forward("GET / HTTP/1.1\r\nHost: a:80\r\n" .. came .. "X-Forwarded-For: 1.1.1.1\r\n\r\n", options)
            assert.is_nil(text:lower():find("x-forwarded", 1, true))
            return text:match("\r\nForwarded: ([^\r]*)\r\n")
        end
        assert.equal('for=10.0.0.1;host="a:80";proto=http', forwarded("Forwarded: for=6.6.6.6\r\n", { client = "10.0.0.1" }))
        assert.equal('for=6.6.6.6, for="[::1]";host="a:80";proto=http', forwarded("Forwarded: for=6.6.6.6\r\n", { client = "::1", trusted = true }))
        assert.equal('for=unknown;host="a:80";proto=http', forwarded("", { client = "unix" }))
    end)

    it("says nothing of the client when it shall not", function()
        local text = forward("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\nForwarded: for=b\r\n\r\n",
            { client = "10.0.0.1", scheme = "http", forwarded = 0, trusted = true })
        assert.same({ "GET / HTTP/1.1", "Host: a", "Via: 1.1 moongate", "" }, lines_of(text))
    end)

    it("names the host that the terms say", function()
        local text = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        assert.matches("\r\nHost: a\r\n", forward(text, { host = ffi.C.HOST_PRESERVE }))
        assert.matches("\r\nHost: origin:80\r\n", forward(text, { host = ffi.C.HOST_UPSTREAM }))
        assert.matches("\r\nHost: b.example\r\n.*X%-Forwarded%-Host: a\r\n", forward(text, { host = ffi.C.HOST_NAME, host_name = "b.example" }))
    end)

    for _, case in ipairs {
        { "/api", nil, "/api/x?q", "/x?q" }, { "/api/", nil, "/api/x", "/x" }, { "/api", nil, "/api", "/" }, { "/api", "/v1", "/api", "/v1" },
        { "/api", "/v1/", "/api/x", "/v1/x" }, { "/api", nil, "/apix", "/apix" }, { "/api", "/v1", "/other", "/v1/other" }, { nil, "/v1", "/", "/v1/" },
    } do
        it(("sends %s as %s, with %s taken off and %s before it"):format(case[3], case[4], tostring(case[1]), tostring(case[2])), function()
            local text = forward("GET " .. case[3] .. " HTTP/1.1\r\nHost: a\r\n\r\n", { strip = case[1], prefix = case[2] })
            assert.equal("GET " .. case[4] .. " HTTP/1.1", lines_of(text)[1])
        end)
    end

    it("gives a request without an id one, and one whose id makes no sense", function()
        local ours = "X%-Request%-Id: 00000000000000010000000000000002\r\n"
        assert.matches(ours, forward("GET / HTTP/1.1\r\nHost: a\r\n\r\n", { ids = true }))
        assert.matches("X%-Request%-Id: given\r\n", forward("GET / HTTP/1.1\r\nHost: a\r\n\r\n", { ids = true, id = "given" }))
        assert.matches("X%-Request%-Id: theirs\r\n", forward("GET / HTTP/1.1\r\nHost: a\r\nx-request-id: theirs\r\n\r\n", { ids = true }))
        for _, bad in ipairs { "a b", ("x"):rep(129), "\195\164", "" } do
            assert.matches(ours, forward("GET / HTTP/1.1\r\nHost: a\r\nx-request-id: " .. bad .. "\r\n\r\n", { ids = true }))
        end
        assert.not_matches("X%-Request%-Id", forward("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
    end)

    it("carries a trace on with a span of its own, and begins one where there is none that can be read", function()
        local id, span = ("ab"):rep(16), ("cd"):rep(8)
        local function trace(...)
            local lines = {}
            for at, value in ipairs { ... } do lines[at] = "traceparent: " .. value .. "\r\n" end
            local text = forward("GET / HTTP/1.1\r\nHost: a\r\n" .. table.concat(lines) .. "\r\n", { traces = true })
            local _, count = text:gsub("traceparent", "")
            assert.equal(1, count)
            return text:match("\r\ntraceparent: ([^\r]*)\r\n")
        end
        local begun = "00-00000000000000030000000000000004-0000000000000005-01"
        assert.equal("00-" .. id .. "-0000000000000005-00", trace("00-" .. id .. "-" .. span .. "-00"))
        assert.equal("00-" .. id .. "-0000000000000005-01", trace("01-" .. id .. "-" .. span .. "-01-more"))
        assert.equal(begun, trace())
        for _, bad in ipairs { "00-" .. id .. "-" .. span .. "-0", "ff-" .. id .. "-" .. span .. "-00", "00-" .. id:upper() .. "-" .. span .. "-00",
                               "00-" .. ("0"):rep(32) .. "-" .. span .. "-00", "00-" .. id .. "-" .. ("0"):rep(16) .. "-00",
                               "00-" .. id .. "-" .. span .. "-00-more", "00_" .. id .. "-" .. span .. "-00", "x" } do
            assert.equal(begun, trace(bad), bad)
        end
        local good = "00-" .. id .. "-" .. span .. "-00"
        assert.equal(begun, trace(good, good))
    end)

    it("passes an upgrade on that was let pass, and no other", function()
        local function upgrade(protocol, more)
            local o = { upgrades = "websocket x/1" }
            for key, value in pairs(more or {}) do o[key] = value end
            local text = forward("GET / HTTP/1." .. (o.minor or 1) .. "\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: " .. protocol .. "\r\n\r\n", o)
            return text:match("\r\n(Upgrade: [^\r]*\r\nConnection: [^\r]*)\r\n") or text:lower():match("upgrade")
        end
        assert.equal("Upgrade: WebSocket\r\nConnection: Upgrade", upgrade("WebSocket"))
        assert.equal("Upgrade: x/1\r\nConnection: Upgrade", upgrade("x/1"))
        assert.is_nil(upgrade("h2c"))
        assert.is_nil(upgrade("websocket, h2c"))
        assert.is_nil(upgrade("websocket", { upgrades = "" }))
        assert.is_nil(upgrade("websocket", { minor = 0 }))
        assert.is_nil(upgrade("websocket", { kind = ffi.C.BODY_LENGTH, length = 3 }))
    end)

    it("says that trailers are taken when they are", function()
        local text = "GET / HTTP/1.1\r\nHost: a\r\nTE: trailers, deflate\r\nConnection: TE\r\n\r\n"
        assert.matches("\r\nTE: trailers\r\nConnection: TE\r\n", forward(text, { trailers = true }))
        assert.not_matches("TE:", forward(text))
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
