--- The syntax of request heads over real sockets: each case of t/cases/request_heads.lua is answered as the parser judges it, and what it
--- refuses ends the connection, whatever follows. Heads cut at any byte get the same answer.
local cases = require "t.cases.request_heads"
local gate_site = require "t.support.gate_site"
local server = require "t.support.server"

local SMUGGLED = "GET /n/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
local REFUSALS = { [400] = true, [408] = true, [413] = true, [414] = true, [417] = true, [431] = true, [501] = true, [505] = true }

local s
setup(function() s = gate_site.start("limits = { head_time = '5s', linger = '200ms' }") end)
teardown(function()
    s:stop()
    server.sweep()
end)

local function each_case(check)
    local count = 0
    for family, list in pairs(cases) do
        for _, case in ipairs(list) do
            count = count + 1
            check(case, family .. ": " .. case[1])
        end
    end
    assert.is_true(count > 150)
end

describe("a head that the rules refuse", function()
    it("is answered with its status and the reason, once, and the connection ends", function()
        each_case(function(case, name)
            if not case.status then return end
            local c = s:connect()
            c:send(case[2] .. SMUGGLED)
            local response = c:read()
            assert.equal(case.status, response.status, name)
            assert.truthy(response.body:find(case.reason, 1, true), name .. ": " .. response.body)
            assert.equal("close", response:get("connection"), name)
            assert.truthy(response:get("date"), name)
            c:expect_close()
            c:close()
        end)
        assert.falsy(gate_site.seen(s):find("smuggled", 1, true))
    end)

    it("is refused behind an answered request, too, in order", function()
        each_case(function(case, name)
            if not case.status then return end
            local c = s:connect()
            c:send("GET /n/first HTTP/1.1\r\nHost: a\r\n\r\n" .. case[2] .. SMUGGLED)
            assert.equal("first", c:read().body, name)
            assert.equal(case.status, c:read().status, name)
            c:expect_close()
            c:close()
        end)
        assert.falsy(gate_site.seen(s):find("smuggled", 1, true))
    end)

    it("is refused as soon as it is known to be wrong, without waiting for its end", function()
        for _, begin in ipairs { "GET / HTTP/3.0\r\n", "GET /\1", "\22\3\1\2\0", "GET / HTTP/1.1\nH", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n" } do
            local c = s:connect()
            c:send(begin)
            assert.truthy(REFUSALS[c:read().status], begin)
            c:expect_close()
        end
    end)
end)

describe("a head that the rules accept", function()
    it("reaches a handler or is told that there is none", function()
        each_case(function(case, name)
            if case.status or case.method == "CONNECT" or case.form == "AUTHORITY" then return end
            local c = s:connect()
            c:send(case[2])
            local method = case[2]:match("^%s*(%S+)")
            local response = c:read(method)
            while response.status == 100 do response = c:read(method) end
            -- A length beyond the limit and a path that climbs above the root are no matters of syntax.
            local elsewhere = response.status == 413 and case.length or response.body:find("climbs", 1, true)
            if not elsewhere then assert.falsy(REFUSALS[response.status], name .. ": " .. response.status) end
            c:close()
        end)
    end)

    local REQUEST = "POST /echo?q=1 HTTP/1.1\r\nHost: example.org:80\r\nX-Empty:\r\nX-Tab: a\tb\r\nContent-Length: 5\r\nAccept: */*\r\n\r\nhello"

    it("gets the same answer when it is cut anywhere", function()
        for at = 1, #REQUEST - 1 do
            local c = s:connect()
            c:send(REQUEST:sub(1, at))
            c:expect_silence(0.001)
            c:send(REQUEST:sub(at + 1))
            local response = c:read()
            assert.equal(200, response.status, "cut at " .. at)
            assert.equal("hello", response.body, "cut at " .. at)
            c:close()
        end
    end)

    it("gets the same answer byte by byte, several times on a connection", function()
        local c = s:connect()
        for _ = 1, 3 do
            c:send_pieces(REQUEST)
            assert.equal("hello", c:read().body)
        end
        c:close()
    end)

    it("gets the same answers when a pipeline is cut in pieces of any size", function()
        local texts = {}
        for n = 1, 12 do texts[n] = ("GET /n/%d HTTP/1.1\r\nHost: a\r\nX: %s\r\n\r\n"):format(n, ("x"):rep(n * 7)) end
        local all = table.concat(texts)
        for _, size in ipairs { 1, 2, 3, 7, 16, 63, 64, 65, 127, 500 } do
            local c = s:connect()
            c:send_pieces(all, size)
            for n = 1, 12 do assert.equal(tostring(n), c:read().body, "pieces of " .. size) end
            c:close()
        end
    end)
end)

describe("the path", function()
    local function path_of(target)
        local response = s:get(target)
        return response.status == 200 and response.body or response.status
    end

    it("is normalised before it is routed", function()
        for _, target in ipairs { "/n/x", "/./n/x", "/a/../n/x", "/n/%78", "/%6E/x", "/n/./x", "/n/y/../x", "/%2e/n/x", "/a/%2E%2e/n/x" } do
            assert.equal("x", path_of(target), target)
        end
        assert.equal("a/b", path_of("/n/a%2fb"))
    end)

    it("is refused when it climbs above the root, hides a NUL or has a bad escape", function()
        for _, target in ipairs { "/..", "/../n/x", "/n/../../x", "/%2e%2e/n/x", "/n/%00", "/n/%", "/n/%4", "/n/%zz", "/n/%0", "/n/x/../../../y" } do
            local c = s:connect()
            c:send("GET " .. target .. " HTTP/1.1\r\nHost: a\r\n\r\n" .. SMUGGLED)
            assert.equal(400, c:read().status, target)
            c:expect_close()
        end
        assert.falsy(gate_site.seen(s):find("smuggled", 1, true))
    end)
end)

describe("targets of other forms", function()
    it("may be absolute: the authority counts and must agree with Host", function()
        local c = s:connect()
        c:send("GET http://Example.ORG:80/head-of?x HTTP/1.1\r\nHost: example.org:80\r\n\r\n")
        local response = c:read()
        assert.equal(200, response.status)
        assert.truthy(response.body:find([["path":"\/head-of"]], 1, true) or response.body:find([["path":"/head-of"]], 1, true), response.body)
        assert.truthy(response.body:find([["host":"example.org"]], 1, true), response.body)
        c:send("GET http://example.org HTTP/1.1\r\nHost: example.org\r\n\r\n")
        assert.equal("hello", c:read().body)
    end)

    it("OPTIONS * tells what the server can do, and the connection goes on", function()
        local c = s:connect()
        local response = c:request("OPTIONS", "*")
        assert.is_true(response.status == 200 or response.status == 204, tostring(response.status))
        assert.truthy(response:get("allow"):find("GET", 1, true))
        assert.equal("hello", c:get("/").body)
    end)

    it("OPTIONS of a path names its methods", function()
        local response = s:connect():request("OPTIONS", "/n/1")
        assert.equal(204, response.status)
        assert.equal("GET, HEAD, OPTIONS", response:get("allow"))
    end)

    it("CONNECT is not served, and nothing behind it is taken for a request", function()
        local c = s:connect()
        c:send("CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n" .. SMUGGLED)
        assert.equal(501, c:read().status)
        c:expect_close()
        assert.falsy(gate_site.seen(s):find("smuggled", 1, true))
    end)

    it("TRACE is never echoed", function()
        local c = s:connect()
        local response = c:request("TRACE", "/n/1", { ["x-secret"] = "cookie" })
        assert.equal(405, response.status)
        assert.falsy(response.body:find("cookie", 1, true))
        assert.equal("hello", c:get("/").body)
    end)

    it("methods that nobody knows are 405 where the path exists, 404 elsewhere", function()
        local c = s:connect()
        assert.equal(405, c:request("BREW", "/n/1").status)
        assert.equal(404, c:request("BREW", "/nowhere").status)
    end)
end)
