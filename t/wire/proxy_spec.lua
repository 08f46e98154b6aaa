--- Requests passed on to an origin, in the whole program.
local origin = require "t.support.origin"
local server = require "t.support.server"

describe("a proxied request", function()
    local s, o
    setup(function()
        o = origin.start(function(self)
            self:serve(function(request, _, client)
                local function last(text) client:send(text) end -- and then the connection ends
                local target = request.target
                if target:match("^/status/") then return ("HTTP/1.1 %s Own\r\nContent-Length: 0\r\n\r\n"):format(target:match("%d+")) end
                if target == "/close" then return last "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end" end
                if target == "/chunked" then return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" end
                if target == "/broken" then return last "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this" end
                if target == "/garbage" then return "garbage\r\n\r\n" end
                if target == "/none" then return nil end
                local body = request.head .. request.body
                return ("HTTP/1.1 200 OK\r\nX-Origin: yes\r\nServer: origin\r\nContent-Length: %d\r\n\r\n"):format(#body) .. body
            end)
        end)
        local script = ([[
            local mg = require "moongate"
            local app = mg.app()
            local api = mg.upstream { name = "api", servers = { "ADDRESS" } }
            app:proxy("/*", api)
            app:proxy("/api/*", api, { path = "/v1/*" })
            app:proxy("/user/:id", "http://ADDRESS", { path = "/people/:id" })
            app:proxy("/only/get", api, { methods = { "GET" } })
            app:proxy("/small", api, { body = 4 })
            app:proxy("/dead", "http://127.0.0.1:DEAD")
            app:get("/direct", api)
            app:get("/chosen", function(req) return mg.proxy(api, { path = "/chosen/by/handler" }) end)
            app:on_error(502, function(req, err) return 502, "the origin is away: " .. tostring(err.message ~= nil) end)
            return app]]):gsub("ADDRESS", o.address):gsub("DEAD", function()
            local socket = require("socket").bind("127.0.0.1", 0)
            local _, port = socket:getsockname()
            socket:close()
            return port
        end)
        s = server.start { script = script }
    end)
    teardown(function()
        origin.sweep()
        s:stop()
        server.sweep()
    end)

    it("reaches the origin as it came, and the answer comes back", function()
        local response = s:get("/a%2Fb/c?d=%20e", { ["X-One"] = "1", Connection = "x-hop", ["X-Hop"] = "dropped" })
        assert.equal(200, response.status)
        assert.equal("yes", response:get("x-origin"))
        assert.matches("^GET /a%%2Fb/c%?d=%%20e HTTP/1%.1\r\n", response.body)
        assert.matches("\r\n[Xx]%-[Oo]ne: 1\r\n", response.body)
        assert.is_nil(response.body:lower():find("x-hop", 1, true))
        assert.matches("\r\n[Xx]%-[Ff]orwarded%-[Ff]or: 127%.0%.0%.1\r\n", response.body)
    end)

    it("may be asked for by another path, with captures and the query", function()
        assert.matches("^GET /v1/x/y%?z=1 HTTP", s:get("/api/x/y?z=1").body)
        assert.matches("^GET /people/a%%2Fb HTTP", s:get("/user/a%2Fb").body)
        assert.matches("^GET /chosen/by/handler HTTP", s:get("/chosen").body)
        assert.matches("^GET /direct HTTP", s:get("/direct").body)
    end)

    it("carries content of every size, with a length or in chunks", function()
        local c = s:connect()
        for _, size in ipairs { 0, 1, 4096, 65537, 1000000 } do
            local body = ("x"):rep(size)
            assert.is_true(c:post("/post", body).body:sub(-size - 4) == "\r\n\r\n" .. body, size .. " bytes")
        end
        local chunked = c:request("POST", "/post", { ["Transfer-Encoding"] = "chunked" }, "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        assert.equal("abcde", chunked.body:sub(-5))
    end)

    it("keeps to the methods and the limit of its route", function()
        assert.equal(200, s:get("/only/get").status)
        local c = s:connect()
        assert.equal("POST", c:post("/only/get", "x").body:match("^%u+")) -- the broader route takes it
        assert.equal(413, s:connect():post("/small", "12345").status)
        assert.equal(200, s:connect():post("/small", "1234").status)
    end)

    it("brings statuses, chunks and content that ends with the connection", function()
        for _, status in ipairs { 201, 304, 404, 500, 599 } do assert.equal(status, s:get("/status/" .. status).status) end
        assert.equal("until the end", s:get("/close").body)
        assert.equal("abc", s:get("/chunked").body)
        assert.equal("", s:connect():head("/close").body)
    end)

    it("that fails is answered by the error handler", function()
        for _, target in ipairs { "/dead", "/garbage", "/none" } do
            local response = s:get(target)
            assert.equal(502, response.status, target)
            assert.equal("the origin is away: true", response.body)
        end
    end)

    it("that breaks off after its head ends so that the client can tell", function()
        local c = s:connect()
        c:send("GET /broken HTTP/1.1\r\nHost: a\r\n\r\n")
        assert.equal(200, c:read_head().status)
        assert.equal("only this", c:read_bytes(9))
        c:expect_close()
    end)

    it("keeps its place among pipelined ones, and one origin connection serves many", function()
        local answers = s:connect():pipeline { "/1", "/2", "/dead", "/3", "/chunked" }
        assert.matches("^GET /1 ", answers[1].body)
        assert.matches("^GET /2 ", answers[2].body)
        assert.equal(502, answers[3].status)
        assert.matches("^GET /3 ", answers[4].body)
        assert.equal("abc", answers[5].body)
    end)
end)
