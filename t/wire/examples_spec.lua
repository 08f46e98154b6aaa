--- Each example of conf/ runs as it stands and does what it says; so does the default config.
local origin = require "t.support.origin"
local server = require "t.support.server"
local json = require "cjson"

local function example(name, options)
    options = options or {}
    options.file = "conf/examples/" .. name .. ".lua"
    return server.start(options)
end

describe("the example", function()
    after_each(function()
        origin.sweep()
        server.sweep()
    end)

    it("hello", function()
        local s = example "hello"
        assert.equal("Hello, World!", s:get("/").body)
        s:stop()
    end)

    it("parameters", function()
        local s = example "parameters"
        assert.same({ id = "42", agent = "spec" }, json.decode(s:get("/users/42", { ["User-Agent"] = "spec" }).body))
        assert.same({ id = "you" }, json.decode(s:get("/users/me").body))
        assert.same({ looking_for = "moon", page = 2 }, json.decode(s:get("/search?q=moon&page=2").body))
        assert.equal("You asked for any/depth", s:get("/docs/any/depth").body)
        local c = s:connect()
        local order = c:post("/orders", '{"items":[1,2]}')
        assert.equal(201, order.status)
        assert.same({ ok = true, items = { 1, 2 } }, json.decode(order.body))
        assert.equal(400, c:post("/orders", "{").status)
        assert.equal(413, s:connect():post("/orders", (" "):rep(65537)).status)
        s:stop()
    end)

    it("filters", function()
        local s = example "filters"
        assert.equal("Open to all", s:get("/").body)
        assert.equal("The next version", s:get("/", { ["X-Beta"] = "1" }).body)
        assert.matches("^%d+%.%d+ ms$", s:get("/"):get("x-handler-time"))
        local refused = s:get("/admin")
        assert.equal(401, refused.status)
        assert.equal("who are you?", refused.body)
        assert.is_truthy(refused:get("x-handler-time"))
        local key = { Authorization = "Bearer moon" }
        assert.equal("Welcome, keeper of the gate", s:get("/admin", key).body)
        assert.equal('{"deleted":"7"}', s:connect():request("DELETE", "/admin/users/7", key).body)
        s:stop()
    end)

    it("errors", function()
        local s = example "errors"
        assert.same({ item = "lamp", left = 3 }, json.decode(s:get("/stock/lamp").body))
        local missing = s:get("/stock/chair")
        assert.equal(404, missing.status)
        assert.same({ error = "not found", path = "/stock/chair" }, json.decode(missing.body))
        local closed = s:get("/closed")
        assert.equal(503, closed.status)
        assert.equal("We open at 9.", closed.body)
        local broken = s:get("/broken")
        assert.equal(500, broken.status)
        s:wait_log("request " .. broken.body:match("We broke it%. Tell us this: (.*)"):gsub("%-", "%%-") .. ": GET /broken [^\n]*errors%.lua:%d+: ")
        s:stop()
    end)

    it("streaming", function()
        local s = example "streaming"
        local count, clock = s:connect(), s:connect()
        count:send("GET /count HTTP/1.1\r\nHost: a\r\n\r\n")
        clock:send("GET /clock HTTP/1.1\r\nHost: a\r\n\r\n")
        count:read_head()
        assert.equal("1\n", count:read_chunk())
        assert.equal("text/event-stream", clock:read_head():get("content-type"))
        assert.matches("^event: tick\ndata: %d%d:%d%d:%d%d\n\n$", clock:read_chunk())
        assert.equal("2\n", count:read_chunk())
        s:kill()
    end)

    it("static", function()
        local s = example "static"
        local page = s:get("/")
        assert.equal(200, page.status)
        assert.equal("text/html; charset=utf-8", page:get("content-type"))
        assert.equal("max-age=3600", s:get("/assets/page.css"):get("cache-control"))
        assert.equal(404, s:get("/none").status)
        s:stop()
    end)

    it("proxy", function()
        local function answer(request)
            local body = request.method .. " " .. request.target
            return ("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"):format(#body) .. body
        end
        -- The ports that the example names; a site's own origin may hold them.
        local made, first = pcall(origin.start, function(self) self:serve(answer) end, 9000)
        local also, second = pcall(origin.start, function(self) self:serve(answer) end, 9001)
        local s = example "proxy"
        assert.equal("The gate itself answers here.", s:get("/").body)
        if made and also then
            for _ = 1, 6 do assert.equal("GET /users?a=1", s:get("/api/users?a=1").body) end
            assert.equal("GET /old/x", s:get("/old/x").body)
        end
        s:stop()
        assert.is_truthy(first and second)
    end)

    it("fetching", function()
        local function answer(request)
            local body = request.head:find("x-tried", 1, true) and "tried" or request.target
            return ("HTTP/1.1 200 OK\r\nContent-Type: text/css\r\nContent-Length: %d\r\n\r\n"):format(#body) .. body
        end
        local made = pcall(origin.start, function(self) self:serve(answer) end, 9000) -- its port may be somebody's
        local s = example "fetching"
        if made then
            assert.same({ status = 200, type = "text/css", bytes = 10 }, json.decode(s:get("/bytes").body))
            assert.equal("/style.css", s:get("/style").body)
            assert.equal("tried", s:get("/shop/x").body)
            local first = s:get("/beta/x")
            assert.equal("/x", first.body)
            assert.matches("^beta=%w+;", first:get("set-cookie"))
            local loud = s:get("/loud/quiet")
            assert.equal("/QUIET", loud.body)
            assert.equal("yes", loud:get("x-loud"))
        end
        s:stop()
    end)
end)

describe("the default config", function()
    after_each(server.sweep)

    it("serves its page, its files, and what its page says", function()
        local s = server.start { file = "conf/moongate.lua" }
        local page = s:get("/")
        assert.equal(200, page.status)
        assert.equal("text/html; charset=utf-8", page:get("content-type"))
        assert.equal("nosniff", page:get("x-content-type-options"))
        for link in page.body:gmatch('href="(.-)"') do
            -- The mirror is this gateway on its own port, 8080; on the spec's port there may be nobody to pass on to.
            local status = s:get(link).status
            if link:match("^/mirror/") then assert.is_true(status == 200 or status == 502, link) else assert.equal(200, status, link) end
        end
        assert.equal("Hello, you!\n", s:get("/hello/you").body)
        assert.equal("127.0.0.1", json.decode(s:get("/time").body).you)
        assert.equal("/", s:get("/home"):get("location"))
        local missing = s:get("/none")
        assert.equal(404, missing.status)
        assert.equal("There is nothing at /none\n", missing.body)
        assert.equal("nosniff", missing:get("x-content-type-options"))
        s:stop()
    end)
end)
