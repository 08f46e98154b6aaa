--- What clients are shown of errors that nobody answers: lua/moongate/error_page.lua, error_html.lua.
local json = require "cjson"
local served = require("t.support.served").by
local server = require "t.support.server"

local ROUTES = [[
local function deep(user) return user.name:upper() end
app:filter("/raise/*", function(req, next) return next(req) end)
app:get("/raise/:id", function(req) local name = deep({}) return name end)
app:get("/markup", function(req) error("<script>alert('" .. req.query.x .. "')</script>") end) -- <b>source</b>
app:get("/filtered/:id", function(req) return "ok" end)
app:filter("/filtered/*", function(req, next) error("from the filter") end)
app:get("/when", { when = function(req) error("from the predicate") end }, function(req) return "ok" end)
app:get("/huge", function(req) error(("x"):rep(200000)) end)
app:get("/table", function(req) error { kind = "odd", message = "of a table" } end)
app:get("/caught", function(req) return nil, "no such user", "not-found" end)
app:get("/teapot", function(req) mg.raise(418, "short and stout") end)
app:get("/users/:id", function(req) return "ok" end)
app:post("/users/:id", function(req) return "ok" end)
]]

local HTML, JSON = { Accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8" }, { Accept = "application/json" }

describe("an error page in debug mode", function()
    local ask, s = served(ROUTES, { args = { "--debug" } })

    it("has the message, the lines around it, the stack, the request, the route and its filters", function()
        local page = json.decode(ask("GET", "/raise/7", JSON).body)
        assert.equal(500, page.status)
        assert.matches("app%.lua:1: attempt to index field 'name'", page.message)
        assert.equal(1, page.excerpts[1].line)
        assert.matches("local function deep%(user%)", page.excerpts[1].lines[1].text)
        assert.equal(3, page.excerpts[2].line)
        assert.is_false(page.stack[1].is_own)
        assert.matches("app%.lua:3: ", page.stack[2].text)
        assert.same({ is_own = true, text = page.stack[3].text }, page.stack[3])
        assert.matches("^%d+ of the gateway$", page.stack[3].text)
        assert.equal("GET /raise/:id", page.route.route)
        assert.matches("app%.lua:3$", page.route.where)
        assert.equal("/raise/*", page.filters[1].pattern)
        assert.matches("app%.lua:2$", page.filters[1].where)
        assert.equal("GET", page.request.method)
        s.server:wait_log("request " .. page.id:gsub("%-", "%%-") .. ": GET /raise/7")
    end)

    it("is HTML for browsers, without anything from elsewhere", function()
        local response = ask("GET", "/raise/7", HTML)
        assert.equal("text/html; charset=utf-8", response:get("content-type"))
        assert.equal("no-store", response:get("cache-control"))
        assert.matches("default%-src 'none'", response:get("content-security-policy"))
        assert.matches('<span class="hot"><i>1</i>', response.body)
        assert.matches("prefers%-color%-scheme:dark", response.body)
        assert.is_nil(response.body:find("https?://"))
        assert.is_nil(response.body:find("<script"))
    end)

    it("is text for all others", function()
        for _, fields in ipairs { {}, { Accept = "*/*" }, { Accept = "image/png" }, { Accept = "text/plain" } } do
            local response = ask("GET", "/raise/7", fields)
            assert.equal("text/plain; charset=utf-8", response:get("content-type"))
            assert.matches("\n>    1 | .*\nstack traceback:\n", response.body)
        end
    end)

    it("escapes what a client or a file says", function()
        local body = ask("GET", "/markup?x=%22%3E%3Cimg%20src=x%3E", HTML).body
        assert.is_nil(body:find("<script>", 1, true))
        assert.is_nil(body:find("<img", 1, true))
        assert.is_nil(body:find("<b>source", 1, true))
        assert.is_truthy(body:find("&lt;script&gt;alert(&#39;&quot;&gt;&lt;img src=x&gt;", 1, true))
        local named = ask("GET", "/raise/1", { Accept = HTML.Accept, ["X-Name"] = "<i>&\"'" }).body
        assert.is_truthy(named:find("&lt;i&gt;&amp;&quot;&#39;", 1, true))
    end)

    it("shows no secrets", function()
        local fields = { Accept = "application/json", Authorization = "Bearer HIDDEN1", Cookie = "sid=HIDDEN2", ["X-Api-Key"] = "HIDDEN3",
            ["X-CSRF-Token"] = "HIDDEN4", ["Proxy-Authorization"] = "HIDDEN5", ["X-Plain"] = "SHOWN1" }
        for _, accept in ipairs { "application/json", "text/html", "text/plain" } do
            fields.Accept = accept
            local body = ask("GET", "/raise/7?access_token=HIDDEN6&page=SHOWN2&password=HIDDEN7", fields).body
            assert.is_nil(body:find("HIDDEN", 1, true), body)
            assert.is_truthy(body:find("SHOWN1", 1, true))
            assert.is_truthy(body:find("SHOWN2", 1, true))
        end
    end)

    it("is made of errors of filters and predicates, and of values that are no text", function()
        for target, text in pairs { ["/filtered/1"] = "from the filter", ["/when"] = "from the predicate", ["/table"] = "of a table" } do
            local response = ask("GET", target, JSON)
            assert.equal(500, response.status)
            assert.is_truthy(json.decode(response.body).message:find(text, 1, true), response.body)
        end
    end)

    it("is bounded", function()
        local fields = { Accept = HTML.Accept }
        for at = 1, 80 do fields["X-Field-" .. at] = ("y"):rep(100) end
        fields["X-Long"] = ("<"):rep(3000)
        local response = ask("GET", "/huge?" .. ("&"):rep(3000), fields)
        assert.equal(500, response.status)
        assert.is_true(#response.body < 65536, #response.body)
    end)

    it("says what a path that nothing fits was meant to be", function()
        local page = json.decode(ask("GET", "/user/7", JSON).body)
        assert.equal("GET /users/:id", page.near[1].route)
        assert.matches("app%.lua:12$", page.near[1].where)
        assert.matches("did you mean GET /users/:id %(%S+app%.lua:12%)%?", ask("GET", "/user/7").body)
        assert.matches("did you mean</td><td>GET /users/:id", ask("GET", "/user/7", HTML).body)
        assert.same({}, json.decode(ask("GET", "/nothing/like/any/of/them", JSON).body).near)
    end)

    it("says which methods a path has", function()
        local response = ask("DELETE", "/users/7", JSON)
        assert.equal(405, response.status)
        local page = json.decode(response.body)
        assert.equal("GET, HEAD, POST, OPTIONS", page.allowed)
        assert.same({ "GET /users/:id", "POST /users/:id" }, { page.near[1].route, page.near[2].route })
        assert.equal("GET, HEAD, POST, OPTIONS", response:get("allow"))
    end)

    it("is not in the way of answers that are meant", function()
        for path, text in pairs { ["/teapot"] = "418 I'm a Teapot: short and stout", ["/caught"] = "404 Not Found: no such user" } do
            assert.equal(text .. "\n", ask("GET", path, {}).body)
            local title, message = text:gsub("'", "&#39;"):match("^(.-): (.*)$")
            local page = ask("GET", path, HTML).body
            assert.is_truthy(page:find("<title>" .. title .. "</title>", 1, true), page)
            assert.is_truthy(page:find("<p>" .. message .. "</p>", 1, true), page)
            assert.is_nil(page:find("debug", 1, true))
        end
    end)
end)

describe("an error page without debug mode", function()
    local ask, s = served(ROUTES)

    it("has an id that the log has with the traceback, and nothing else", function()
        for accept, pattern in pairs { ["text/html"] = "<code>([%x-]+)</code>", ["application/json"] = '"id":"([%x-]+)"', ["*/*"] = "log is ([%x-]+)\n$" } do
            local response = ask("GET", "/raise/7?mark=SHOWN", { Accept = accept })
            assert.equal(500, response.status)
            local id = response.body:match(pattern)
            assert.is_truthy(id, response.body)
            for _, word in ipairs { "app.lua", "deep", "name", "SHOWN", "traceback", "raise" } do
                assert.is_nil(response.body:gsub("report it, name this", ""):gsub('name="viewport"', ""):find(word, 1, true), word)
            end
            s.server:wait_log("request " .. id:gsub("%-", "%%-") .. ": [^\n]*app%.lua:1: attempt to index[^\n]*\n%s*stack traceback:\n[^\n]*app%.lua:3")
        end
    end)

    it("names no routes", function()
        assert.equal("404 Not Found: nothing is at this path\n", ask("GET", "/user/7", {}).body)
        for _, accept in ipairs { HTML, JSON } do
            assert.is_nil(ask("GET", "/user/7", accept).body:find("/users", 1, true))
        end
    end)

    it("is HTML for browsers, JSON for who asks for that, and text for all others, also where an error is meant", function()
        local kinds = {
            { HTML, "text/html; charset=utf-8", "^<!doctype html>.*<h1>Not Found</h1>\n<p>nothing is at this path</p>" },
            { JSON, "application/json", '^{.*"message":"nothing is at this path".*}\n$' },
            { { Accept = "*/*" }, "text/plain; charset=utf-8", "^404 Not Found: nothing is at this path\n$" },
            { { Accept = "image/png" }, "text/plain; charset=utf-8", "^404 Not Found: " },
            { {}, "text/plain; charset=utf-8", "^404 Not Found: " },
        }
        for at, kind in ipairs(kinds) do
            local response = ask("GET", "/nowhere", kind[1])
            assert.equal(404, response.status)
            assert.equal(kind[2], response:get "content-type")
            assert.matches(kind[3], response.body)
            assert.equal((at <= 2 or at == 4) and "accept" or nil, response:get "vary")
        end
        local wrong = ask("DELETE", "/users/7", HTML)
        assert.same({ 405, "GET, HEAD, POST, OPTIONS" }, { wrong.status, wrong:get "allow" })
        assert.matches("<p>DELETE is not one of its methods</p>", wrong.body)
    end)
end)

describe("the lines that an error page shows", function()
    after_each(server.sweep)

    it("are those that were loaded, not those on the disk by now", function()
        local s = server.start { script = "local app = require 'moongate'.app()\napp:get('/', function() error('as loaded') end)\nreturn app", args = { "--debug" } }
        require("t.support.process").write_file(s.file, "-- CHANGED\n-- CHANGED\n-- CHANGED\n")
        local body = s:get("/").body
        assert.is_truthy(body:find("error('as loaded')", 1, true))
        assert.is_nil(body:find("CHANGED", 1, true))
        s:stop()
    end)
end)
