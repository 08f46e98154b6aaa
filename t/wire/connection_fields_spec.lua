--- Fields that speak of the connection: what a client may say of it, and what a script may not.
local gate_site = require "t.support.gate_site"
local http_text = require "t.support.http_text"
local server = require "t.support.server"

local s
setup(function() s = gate_site.start("limits = { linger = '200ms' }", [[
    app:get("/set/:name", function(req)
        return mg.respond { status = 200, body = "body", headers = { [req.params.name] = req.query.value or "x" } }
    end)
    app:get("/header/:name", function(req) return req.headers[req.params.name] or "none" end)
]]) end)
teardown(function()
    s:stop()
    server.sweep()
end)

describe("Connection of a request", function()
    it("may name fields of the request's own, and they still reach the handler here", function()
        local response = s:get("/header/x-hop", { connection = "x-hop, keep-alive", ["x-hop"] = "yes" })
        assert.equal("yes", response.body)
        assert.is_nil(response:get("connection"))
    end)

    it("must not name what frames, routes or authenticates", function()
        for _, name in ipairs { "host", "Content-Length", "transfer-encoding", "AUTHORIZATION", "close, host", "keep-alive , content-length" } do
            local c = s:connect()
            c:send(http_text.request("GET", "/", { connection = name, authorization = "x" }))
            assert.equal(400, c:read().status, name)
            c:expect_close()
        end
    end)

    it("is a list with empty elements and any white space, in one field or many", function()
        for _, value in ipairs { "close", " close ", "x,close", "x , ,close,", ",\tCLOSE", "keep-alive\r\nConnection: close", "close\r\nConnection: keep-alive" } do
            local c = s:connect()
            c:send("GET / HTTP/1.1\r\nHost: a\r\nConnection: " .. value .. "\r\n\r\n")
            assert.equal("close", c:read():get("connection"), value)
            c:expect_close()
        end
        for _, value in ipairs { "closed", "close-notify", "x", "", ", ,", "upgrade", "te" } do
            local c = s:connect()
            c:send("GET / HTTP/1.1\r\nHost: a\r\nConnection: " .. value .. "\r\n\r\n")
            assert.equal("hello", c:read().body, value)
            assert.equal("hello", c:get("/").body, value)
        end
    end)
end)

describe("Upgrade", function()
    it("to what nobody offers is ignored: the answer is that of HTTP/1.1, and bytes behind it are requests", function()
        for _, protocol in ipairs { "h2c", "websocket", "TLS/1.0", "foo" } do
            local c = s:connect()
            c:send("GET /n/1 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: " .. protocol
                .. "\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\nGET /n/2 HTTP/1.1\r\nHost: a\r\n\r\n")
            local response = c:read()
            assert.equal(200, response.status, protocol)
            assert.is_nil(response:get("upgrade"), protocol)
            assert.equal("2", c:read().body, protocol)
        end
    end)
end)

describe("fields that a script sets", function()
    it("cannot frame the message or speak of the connection", function()
        for _, name in ipairs { "Content-Length", "transfer-encoding", "Connection", "keep-alive", "Upgrade", "Trailer", "TE", "proxy-connection" } do
            local response = s:get("/set/" .. name)
            assert.equal(500, response.status, name)
            assert.equal(1, #response:all("content-length"), name)
            assert.same({}, response:all("transfer-encoding"), name)
        end
    end)

    it("cannot bring a line end, a control or a bad name into the answer", function()
        for _, value in ipairs { "a%0d%0aX-Evil: 1", "a%0aX-Evil: 1", "a%0dX-Evil: 1", "a%00b", "a%01b", "a%7fb" } do
            local c = s:connect()
            c:send("GET /set/x-test?value=" .. value:gsub(" ", "%%20") .. " HTTP/1.1\r\nHost: a\r\n\r\n")
            local response = c:read()
            assert.equal(500, response.status, value)
            assert.is_nil(response:get("x-evil"), value)
            assert.is_nil(response:get("x-test"), value)
        end
        for _, name in ipairs { "x%20y", "x%3ay", "x%0d%0ay", "%c3%a4", "(x)" } do assert.equal(500, s:get("/set/" .. name).status, name) end
    end)

    it("may be of any other value", function()
        local response = s:get("/set/X-Test?value=%c3%a4%09b%20%22c%22")
        assert.equal(200, response.status)
        assert.equal("\195\164\tb \"c\"", response:get("x-test"))
    end)
end)
