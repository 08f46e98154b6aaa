--- Who a client is: the peer, or whom a trusted peer speaks for.
local ffi = require "ffi"
local c = require "t.support.c"
local origin = require "t.support.origin"
local server = require "t.support.server"

describe("the client of a request", function()
    local s, o
    before_each(function()
        o = origin.start(function(self)
            self:serve(function(request)
                return ("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"):format(#request.head, request.head)
            end)
        end)
    end)
    after_each(function()
        server.sweep()
        origin.sweep()
    end)

    local function start(trusted)
        s = server.start { script = ([[
            local mg = require "moongate"
            local app = mg.app()
            app:proxy("/up", "http://%s")
            app:get("/", function(req) return req.remote end)
            app:get("/port", function(req) return tostring(req.remote_port ~= nil) end)
            return { app = app, workers = 1, trusted_proxies = %s }]]):format(o.address, trusted) }
    end

    local CLAIM = { ["X-Forwarded-For"] = "203.0.113.9, 10.1.1.1", ["X-Forwarded-Proto"] = "https", ["X-Real-IP"] = "203.0.113.9" }

    it("is the peer, whatever a stranger says", function()
        start '{ "10.0.0.0/8" }'
        assert.equal("127.0.0.1", s:get("/", CLAIM).body)
        local head = s:get("/up", CLAIM).body
        assert.matches("\r\nX%-Forwarded%-For: 127%.0%.0%.1\r\n", head)
        assert.matches("\r\nX%-Forwarded%-Proto: http\r\n", head)
        assert.not_matches("203%.0%.113%.9", head)
    end)

    it("is whom a trusted peer names, behind other trusted ones", function()
        start '{ "127.0.0.0/8", "10.0.0.0/8" }'
        assert.equal("203.0.113.9", s:get("/", CLAIM).body)
        local head = s:get("/up", CLAIM).body
        assert.matches("\r\nX%-Forwarded%-For: 203%.0%.113%.9, 10%.1%.1%.1, 127%.0%.0%.1\r\n", head)
        assert.matches("\r\nX%-Forwarded%-Proto: https\r\n", head)
        assert.equal("127.0.0.1", s:get("/").body)
        assert.equal("true", s:get("/port").body)
        for _, client in ipairs { "203.0.113.9", "fe80::1", "fe80::12" } do
            assert.equal("false", s:get("/port", { ["X-Forwarded-For"] = client }).body)
        end
    end)
end)

describe("a list of trusted networks", function()
    if not c.has_lib() then return end
    c.header("net/net.h", "http/head.h", "gate/trust.h")
    local lib = c.lib()
    lib.http_head_select(0)

    local function trust(lines)
        local made = ffi.new("struct trust")
        return lib.trust_read(made, ffi.new("struct slice", { lines, #lines })), made
    end

    local function address(text)
        local made = ffi.new("struct trust_network")
        local error, one = trust(text)
        assert.equal(0, error)
        made = one.networks[0]
        local peer = ffi.new("struct peer")
        ffi.copy(peer.bytes, made.bytes, 16)
        peer.family = made.family
        return peer
    end

    for _, bad in ipairs { "x", "1.2.3", "1.2.3.4/33", "1.2.3.4/", "1.2.3.4/1234", "::1/129", "/8", "1.2.3.4/-1", "10.0.0.0/8\n\n", "localhost" } do
        it(("refuses %q"):format(bad), function() assert.equal(-22, (trust(bad))) end)
    end

    for _, case in ipairs {
        { "10.0.0.0/8", "10.255.0.1", true }, { "10.0.0.0/8", "11.0.0.0", false }, { "10.1.2.3", "10.1.2.3", true }, { "10.1.2.3", "10.1.2.4", false },
        { "10.0.0.128/25", "10.0.0.127", false }, { "10.0.0.128/25", "10.0.0.129", true }, { "0.0.0.0/0", "9.9.9.9", true },
        { "0.0.0.0/0", "::1", false }, { "fd00::/9", "fd7f::1", true }, { "fd00::/9", "fd80::1", false }, { "unix", "unix", true },
        { "unix", "1.1.1.1", false }, { "::ffff:10.0.0.1", "10.0.0.1", true },
    } do
        it(("%s holds %s: %s"):format(case[1], case[2], tostring(case[3])), function()
            local _, list = trust(case[1])
            assert.equal(case[3], lib.trust_has(list, address(case[2])))
        end)
    end

    it("finds the client behind the hops that are trusted, and stops where it cannot be read", function()
        local _, list = trust "10.0.0.0/8\n127.0.0.1"
        local function client(peer, ...)
            local lines = { "GET / HTTP/1.1\r\nHost: a\r\n" }
            for _, value in ipairs { ... } do lines[#lines + 1] = "X-Forwarded-For: " .. value .. "\r\n" end
            local text = table.concat(lines) .. "\r\n"
            local bytes = ffi.new("char[?]", #text + 64)
            ffi.copy(bytes, text, #text)
            local scan, progress, head = ffi.new("struct http_scan"), ffi.new("struct http_head_progress"), ffi.new("struct http_head")
            lib.http_scan_begin(scan, bytes, #text)
            local limits = ffi.new("struct http_head_limits", { 60000, 61440, 128 })
            assert.equal(#text, lib.http_request_parse(scan, 0, limits, progress, head, ffi.new("const char *[1]")))
            local found, out = ffi.new("struct peer"), ffi.new("char[64]")
            if not lib.trust_client(list, address(peer), head, bytes, found) then return nil end
            return ffi.string(out, lib.peer_text(found, false, out, 64))
        end
        assert.is_nil(client("9.9.9.9", "1.1.1.1"))
        assert.is_nil(client "127.0.0.1")
        assert.equal("1.1.1.1", client("127.0.0.1", "1.1.1.1"))
        assert.equal("2.2.2.2", client("127.0.0.1", "1.1.1.1, 2.2.2.2"))
        assert.equal("2.2.2.2", client("127.0.0.1", "1.1.1.1", "2.2.2.2 ,\t10.0.0.1,, 10.0.0.2"))
        assert.equal("10.0.0.1", client("127.0.0.1", "10.0.0.1"))
        assert.equal("10.0.0.2", client("127.0.0.1", "1.1.1.1, unknown, 10.0.0.2"))
        assert.is_nil(client("127.0.0.1", "unknown"))
        assert.equal("1.1.1.1", client("127.0.0.1", "1.1.1.1:80"))
        assert.equal("fe80::1", client("127.0.0.1", "[fe80::1]:80"))
        assert.equal("fe80::1", client("127.0.0.1", "fe80::1"))
    end)
end)
