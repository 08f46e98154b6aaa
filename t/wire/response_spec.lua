--- What handlers return, as bytes on the wire.
local served = require("t.support.served").by
local script = require("t.support.served").script
local server = require "t.support.server"

describe("a handler returns", function()
    local ask, s = served([[
        app:get("/text", function(req) return "héllo" end)
        app:get("/empty", function(req) return "" end)
        app:get("/table", function(req) return { a = { 1, 2 }, b = "x" } end)
        app:get("/list", function(req) return mg.array {} end)
        app:get("/status", function(req) return 202 end)
        app:get("/204", function(req) return 204 end)
        app:get("/204/body", function(req) return 204, "dropped" end)
        app:get("/304", function(req) return 304, nil, { etag = '"x"' } end)
        app:get("/both", function(req) return 201, { ok = true } end)
        app:get("/fields", function(req) return 200, "x", { ["X-One"] = "1", ["x-many"] = { "a", "b" }, ["x-number"] = 7 } end)
        app:get("/with", function(req) return 207, mg.html("<p>", 200, { ["x-a"] = "1" }) end)
        app:get("/mg/text", function(req) return mg.text("t", 201, { ["x-a"] = "b" }) end)
        app:get("/mg/html", function(req) return mg.html("<p>") end)
        app:get("/mg/json", function(req) return mg.json("just a string", 203) end)
        app:get("/mg/redirect/:n", function(req) return mg.redirect("/to?a=b#c", tonumber(req.params.n)) end)
        app:get("/mg/redirect", function(req) return mg.redirect("https://example.org/") end)
        app:get("/mg/respond", function(req)
            return mg.respond { status = 209, reason = "Quite Fine", type = "text/csv", body = "a,b", headers = { ["x-a"] = "1" },
                cookies = { plain = "1", full = { "2", path = "/x", http_only = false, same_site = "Strict", max_age = "1h" } } }
        end)
        app:get("/mg/respond/table", function(req) return mg.respond { body = { a = 1 } } end)
        app:get("/mg/respond/none", function(req) return mg.respond { status = 404 } end)
        app:get("/kept", (function() local kept = mg.html("kept", 200, { ["x-k"] = "1" }) return function(req) return kept end end)())
        app:get("/type", function(req) return 200, "x", { ["content-type"] = "image/x" } end)
        app:get("/date", function(req) return 200, "x", { date = "Thu, 01 Jan 1970 00:00:00 GMT", server = "mine" } end)
        app:get("/big/:n", function(req) return ("x"):rep(tonumber(req.params.n)) end)
        app:get("/manyfields/:n", function(req)
            local fields = {}
            for n = 1, tonumber(req.params.n) do fields["x-field-" .. n] = ("v"):rep(100) end
            return 200, "x", fields
        end)
        app:get("/inject/:where", function(req)
            local bad = req.query.v
            local ways = {
                value = function() return 200, "x", { ["x-a"] = bad } end,
                name = function() return 200, "x", { [bad] = "v" } end,
                list = function() return 200, "x", { ["x-a"] = { "ok", bad } } end,
                redirect = function() return mg.redirect(bad) end,
                reason = function() return mg.respond { reason = bad, body = "x" } end,
                type = function() return mg.respond { type = bad, body = "x" } end,
                cookie = function() return mg.respond { cookies = { a = bad }, body = "x" } end,
                cookie_name = function() return mg.respond { cookies = { [bad] = "1" }, body = "x" } end,
                cookie_path = function() return mg.respond { cookies = { a = { "1", path = bad } }, body = "x" } end,
                stream = function() return mg.stream(function(out) out:write("x") end, { headers = { ["x-a"] = bad } }) end,
            }
            return ways[req.params.where]()
        end)
        app:get("/own/:name", function(req) return 200, "x", { [req.params.name] = "1" } end)
        app:get("/file", function(req) return mg.file("a.txt") end)
        app:get("/file/type", function(req) return mg.file("a.txt", { type = "text/x", headers = { ["x-a"] = "1" }, status = 203 }) end)
        app:get("/file/none", function(req) return mg.file("none.txt") end)
        app:get("/file/up", function(req) return mg.file("sub/../a.txt") end)
        app:get("/file/folder", function(req) return mg.file("sub") end)
        app:get("/file/in/:n", function(req) return mg.file("sub/" .. req.params.n .. "/x.txt") end)
        app:post("/file", function(req) return mg.file("a.txt") end)
        app:get("/misuse/:what", function(req)
            local ways = { text = function() mg.text(7) end, status = function() mg.html("x", 99) end, key = function() mg.respond({ ["bd" .. "oy"] = 1 }) end,
                redirect = function() mg.redirect("/x", 200) end, space = function() mg.redirect("/a b") end }
            ways[req.params.what]()
        end)
    ]], { files = (function()
        local files = { ["a.txt"] = "text of a", ["sub/b.txt"] = "b" }
        for n = 1, 300 do files["sub/" .. n .. "/x.txt"] = "x" .. n end
        return files
    end)() })

    local function check(target, status, body, kind)
        local response = ask("GET", target)
        assert.equal(status, response.status, target)
        assert.equal(body, response.body)
        assert.equal(kind, response:get("content-type"))
        return response
    end
    local TEXT, HTML, JSON = "text/plain; charset=utf-8", "text/html; charset=utf-8", "application/json"

    it("a string: text", function()
        local response = check("/text", 200, "héllo", TEXT)
        assert.equal("6", response:get("content-length"))
        assert.equal("moongate", response:get("server"))
        assert.matches("^%a+, %d%d %a+ %d%d%d%d %d%d:%d%d:%d%d GMT$", response:get("date"))
        assert.equal("0", check("/empty", 200, "", TEXT):get("content-length"))
    end)

    it("a table: JSON", function()
        assert.is_truthy(ask("GET", "/table").body:find('"a":[1,2]', 1, true))
        check("/list", 200, "[]", JSON)
        check("/mg/respond/table", 200, '{"a":1}', JSON)
    end)

    it("a status, a status and a body, and fields", function()
        check("/status", 202, "")
        check("/both", 201, '{"ok":true}', JSON)
        local response = check("/fields", 200, "x", TEXT)
        assert.equal("1", response:get("x-one"))
        assert.same({ "a", "b" }, response:all("x-many"))
        assert.equal("7", response:get("x-number"))
        assert.equal("1", check("/with", 207, "<p>", HTML):get("x-a"))
    end)

    it("statuses without content, whatever was given", function()
        assert.is_nil(check("/204", 204, ""):get("content-length"))
        check("/204/body", 204, "")
        assert.equal('"x"', check("/304", 304, ""):get("etag"))
    end)

    it("values of mg", function()
        assert.equal("b", check("/mg/text", 201, "t", TEXT):get("x-a"))
        check("/mg/html", 200, "<p>", HTML)
        check("/mg/json", 203, '"just a string"', JSON)
        check("/mg/respond/none", 404, "404 Not Found\n", TEXT)
        for _, status in ipairs { 301, 302, 303, 307, 308 } do
            assert.equal("/to?a=b#c", check("/mg/redirect/" .. status, status, ""):get("location"))
        end
        assert.equal("https://example.org/", check("/mg/redirect", 302, ""):get("location"))
        local response = check("/mg/respond", 209, "a,b", "text/csv")
        assert.equal("Quite Fine", response.reason)
        local cookies = response:all("set-cookie")
        table.sort(cookies)
        assert.same({ "full=2; Path=/x; Max-Age=3600; SameSite=Strict", "plain=1; Path=/; HttpOnly; SameSite=Lax" }, cookies)
    end)

    it("one value again and again", function()
        for _ = 1, 3 do assert.same({ "1" }, check("/kept", 200, "kept", HTML):all("x-k")) end
    end)

    it("fields in place of the gate's own", function()
        check("/type", 200, "x", "image/x")
        local response = ask("GET", "/date")
        assert.same({ "Thu, 01 Jan 1970 00:00:00 GMT" }, response:all("date"))
        assert.same({ "mine" }, response:all("server"))
    end)

    it("bodies of every size", function()
        local c = s.server:connect()
        for _, size in ipairs { 0, 1, 1023, 4095, 4096, 4097, 16300, 16384, 65535, 65536, 65537, 1000000, 20000000 } do
            assert.equal(("x"):rep(size), c:get("/big/" .. size).body)
        end
    end)

    it("as many fields as there is room for, else an error", function()
        assert.equal(100, #ask("GET", "/manyfields/100").fields - 4)
        local response = ask("GET", "/manyfields/1000")
        assert.equal(500, response.status)
        assert.is_nil(response:get("x-field-1"))
        s.server:wait_log("its header fields are longer than 16 KiB together")
    end)

    it("nothing that breaks out of its field; what was wrong is in the log", function()
        for _, where in ipairs { "value", "name", "list", "redirect", "reason", "type", "cookie", "cookie_name", "cookie_path", "stream" } do
            for _, bad in ipairs { "a%0d%0ax-evil:%201", "a%0ax-evil:1", "a%0dx-evil:1", "a%00b" } do
                local response = ask("GET", "/inject/" .. where .. "?v=" .. bad)
                assert.equal(500, response.status, where .. " " .. bad)
                assert.is_nil(response:get("x-evil"))
                assert.is_nil(response:get("x-a"))
            end
        end
        s.server:wait_log('header "x%-a" has bytes that must not be in a header field')
    end)

    it("no field that frames the answer", function()
        for _, name in ipairs { "content-length", "Transfer-Encoding", "connection", "Keep-Alive", "upgrade", "trailer", "te" } do
            assert.equal(500, ask("GET", "/own/" .. name).status, name)
        end
        s.server:wait_log('header "content%-length" has bytes [^\n]* or is the gateway\'s own to send')
    end)

    it("a file, beside the app's file", function()
        local response = check("/file", 200, "text of a", TEXT)
        assert.is_truthy(response:get("etag"))
        assert.equal(304, ask("GET", "/file", { ["If-None-Match"] = response:get("etag") }).status)
        assert.equal("ext", ask("GET", "/file", { Range = "bytes=1-3" }).body)
        assert.equal("1", check("/file/type", 203, "text of a", "text/x"):get("x-a"))
        check("/file/none", 404, "404 Not Found: no such file\n", TEXT)
        check("/file/folder", 404, "404 Not Found: no such file\n", TEXT)
        assert.equal("text of a", ask("POST", "/file", nil, "").body)
        assert.equal("", ask("HEAD", "/file").body)
    end)

    it("files of more folders than are kept open", function()
        local c = s.server:connect()
        for _ = 1, 2 do
            for n = 1, 300 do assert.equal("x" .. n, c:get("/file/in/" .. n).body) end
        end
    end)

    it("what mg refuses to make, with the line that asked for it", function()
        for _, what in ipairs { "text", "status", "key", "redirect", "space" } do
            assert.equal(500, ask("GET", "/misuse/" .. what).status)
            s.server:wait_log("/misuse/" .. what .. " [^\n]*: [^\n]*app%.lua:%d+: mg%.%a+: ")
        end
    end)
end)

describe("the server field", function()
    after_each(server.sweep)

    it("is what the config says, or none", function()
        local config = "local mg = require 'moongate'; local app = mg.app(); app:get('/', function() return 'x' end) return { app = app, server = %s }"
        local s = server.start { script = config:format('"gate 7"') }
        assert.same({ "gate 7" }, s:get("/"):all("server"))
        s:stop()
        s = server.start { script = config:format("false") }
        assert.same({}, s:get("/"):all("server"))
        s:stop()
        assert.is_truthy(script(""))
    end)
end)
