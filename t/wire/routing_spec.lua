--- Routes as a client meets them: precedence, methods, hosts, predicates, escapes, slashes, and many routes.
local served = require("t.support.served").by
local server = require "t.support.server"

local function body_of(ask, target, fields)
    local response = ask("GET", target, fields)
    return response.status == 200 and response.body or response.status
end

describe("the matcher table, whatever the order of writing", function()
    local ROUTES = {
        { "get", "/", "root" }, { "get", "/test", "test" }, { "post", "/hi/:there", "hi" }, { "delete", "/hi/:there", "hi" },
        { "patch", "/:oh/:dear", "pair" }, { "patch", "/lets", "lets" },
    }
    local ANSWERS = {
        { "GET", "/", 200, "root" }, { "GET", "/test", 200, "test" },
        { "POST", "/hi/jane", 200, "hi there=jane" }, { "DELETE", "/hi/jane", 200, "hi there=jane" },
        { "PATCH", "/lets/go", 200, "pair dear=go oh=lets" }, { "PATCH", "/lets", 200, "lets" },
        { "PATCH", "/hi/jane", 200, "pair dear=jane oh=hi" },
        { "POST", "/test", 405, "GET, HEAD, OPTIONS" }, { "GET", "/test/", 404 }, { "GET", "/hi/jane", 405, "POST, DELETE, PATCH, OPTIONS" },
        { "POST", "/hi/jane/", 404 }, { "POST", "/hi/", 404 }, { "GET", "/abc", 404 }, { "PATCH", "//dance", 404 },
    }

    --- The routes beginning with the n-th, forwards or backwards.
    local function script_of(first, step)
        local lines = { "local mg = require 'moongate'", "local app = mg.app()" }
        for offset = 0, #ROUTES - 1 do
            local route = ROUTES[(first - 1 + offset * step) % #ROUTES + 1]
            lines[#lines + 1] = ([[app:%s(%q, function(req)
                local found = {}
                for name, value in pairs(req.params) do found[#found + 1] = " " .. name .. "=" .. value end
                table.sort(found)
                return %q .. table.concat(found)
            end)]]):format(route[1], route[2], route[3])
        end
        lines[#lines + 1] = "return app"
        return table.concat(lines, "\n")
    end

    after_each(server.sweep)

    for _, order in ipairs { { 1, 1 }, { 4, 1 }, { 6, -1 }, { 3, -1 } } do
        it(("answers the same from route %d on, step %d"):format(order[1], order[2]), function()
            local s = server.start { script = script_of(order[1], order[2]) }
            local c = s:connect()
            for _, row in ipairs(ANSWERS) do
                local method, target, status, text = unpack(row)
                local response = c:request(method, target)
                assert.equal(status, response.status, method .. " " .. target)
                if status == 200 then assert.equal(text, response.body) end
                if status == 405 then assert.equal(text, response:get("allow")) end
            end
            s:stop()
        end)
    end
end)

describe("a path", function()
    local ask = served [[
        app:get("/hi/:name", function(req) return "hi " .. req.params.name end)
        app:get("/a/:x/:y", function(req) return req.params.x .. "|" .. req.params.y end)
        app:get("/deep/*rest", function(req) return "rest=" .. req.params.rest end)
        app:get("/bare/*", function(req) return "bare=" .. req.params["*"] end)
        app:get("/x", function(req) return "plain" end)
        app:get("/y/", function(req) return "slash" end)
        app:get("/users/me", function(req) return "me" end)
        app:get("/users/:id", function(req) return "user " .. req.params.id end)
        app:get("/users/:id/posts", function(req) return "posts of " .. req.params.id end)
        app:get("/users/*", function(req) return "any " .. req.params["*"] end)
        app:get("/path/*", function(req) return req.path .. " " .. req.target end)
        app:get("/caf%C3%A9", function(req) return "coffee" end)
        app:get("/query", function(req) return req.query.a .. " of " .. req.query_string end)
    ]]

    it("binds a segment with an escaped slash, in either case of the escape", function()
        assert.equal("hi a/b", body_of(ask, "/hi/a%2Fb"))
        assert.equal("hi a/b", body_of(ask, "/hi/a%2fb"))
        assert.equal("a/b|c d", body_of(ask, "/a/a%2Fb/c%20d"))
    end)

    it("binds what stands for itself and what is escaped alike", function()
        assert.equal("hi jane", body_of(ask, "/hi/%6Aane"))
        assert.equal("hi jane", body_of(ask, "/%68i/jane"))
        assert.equal("coffee", body_of(ask, "/caf%c3%a9"))
        assert.equal("hi %", body_of(ask, "/hi/%25"))
        assert.equal("hi +", body_of(ask, "/hi/+"))
    end)

    it("is refused when an escape is broken or it climbs above the root", function()
        assert.equal(400, body_of(ask, "/hi/%zz"))
        assert.equal(400, body_of(ask, "/hi/%2"))
        assert.equal(400, body_of(ask, "/../x"))
        assert.equal(400, body_of(ask, "/x/../../x"))
    end)

    it("loses its dot segments, escaped or not", function()
        assert.equal("plain", body_of(ask, "/./x"))
        assert.equal("plain", body_of(ask, "/hi/../x"))
        assert.equal("plain", body_of(ask, "/hi/%2E%2e/x"))
        assert.equal("/path/b /path/a/../b", body_of(ask, "/path/a/../b"))
    end)

    it("keeps empty segments, which bind no parameter", function()
        assert.equal(404, body_of(ask, "/hi/"))
        assert.equal(404, body_of(ask, "/hi//"))
        assert.equal(404, body_of(ask, "//hi/jane"))
        assert.equal("rest=a//b", body_of(ask, "/deep/a//b"))
    end)

    it("with a slash at its end is another path", function()
        assert.equal("plain", body_of(ask, "/x"))
        assert.equal(404, body_of(ask, "/x/"))
        assert.equal("slash", body_of(ask, "/y/"))
        assert.equal(404, body_of(ask, "/y"))
    end)

    it("ends in what a wildcard takes, which may be nothing", function()
        assert.equal("rest=a/b/c", body_of(ask, "/deep/a/b/c"))
        assert.equal("rest=a b/c", body_of(ask, "/deep/a%20b/c"))
        assert.equal("rest=", body_of(ask, "/deep/"))
        assert.equal(404, body_of(ask, "/deep"))
        assert.equal("bare=q", body_of(ask, "/bare/q"))
    end)

    it("goes to the most specific route, segment by segment, and back when a branch ends", function()
        assert.equal("me", body_of(ask, "/users/me"))
        assert.equal("user you", body_of(ask, "/users/you"))
        assert.equal("posts of me", body_of(ask, "/users/me/posts"))
        assert.equal("any me/photos", body_of(ask, "/users/me/photos"))
        assert.equal("any ", body_of(ask, "/users/"))
    end)

    it("ends before the query", function()
        assert.equal("1&b=2 of a=1%26b=2", body_of(ask, "/query?a=1%26b=2"))
        assert.equal("plain", body_of(ask, "/x?"))
    end)

    it("may come in absolute form", function()
        assert.equal("plain", body_of(ask, "http://test/x", { host = "test" }))
        assert.equal(404, body_of(ask, "http://test", { host = "test" }))
    end)
end)

describe("a method", function()
    local ask = served [[
        app:get("/doc", function(req) return 200, "text of " .. req.method, { ["x-doc"] = "1" } end)
        app:put("/doc", function(req) return "put" end)
        app:any("/all", function(req) return req.method end)
        app:route("/some", { methods = { "POST", "PURGE", "PROPFIND" } }, function(req) return req.method end)
        app:head("/own", function(req) return 200, "", { ["x-own"] = "head" } end)
        app:get("/own", function(req) return "get" end)
        app:options("/own", function(req) return 200, "my options" end)
        app:get("/split", function(req) return "split get" end)
        app:post("/split", function(req) return "split post" end)
    ]]

    it("that a path does not have is 405 and names those it has", function()
        local response = ask("DELETE", "/doc")
        assert.equal(405, response.status)
        assert.equal("GET, HEAD, PUT, OPTIONS", response:get("allow"))
        assert.equal(404, ask("DELETE", "/nothing").status)
        assert.is_nil(ask("DELETE", "/nothing"):get("allow"))
    end)

    it("HEAD follows GET: the same fields, no content", function()
        local get, head = ask("GET", "/doc"), ask("HEAD", "/doc")
        assert.equal(200, head.status)
        assert.equal("1", head:get("x-doc"))
        assert.equal(tostring(#"text of HEAD"), head:get("content-length"))
        assert.equal("text of GET", get.body)
        assert.equal("", head.body)
    end)

    it("HEAD and OPTIONS of one's own go first", function()
        assert.equal("head", ask("HEAD", "/own"):get("x-own"))
        assert.equal("my options", ask("OPTIONS", "/own").body)
    end)

    it("OPTIONS is answered by itself, for a path and for the server", function()
        local response = ask("OPTIONS", "/doc")
        assert.equal(204, response.status)
        assert.equal("GET, HEAD, PUT, OPTIONS", response:get("allow"))
        assert.equal(204, ask("OPTIONS", "*").status)
        assert.equal(404, ask("OPTIONS", "/nothing").status)
    end)

    it("may be any, also one that nobody has heard of", function()
        assert.equal("DELETE", ask("DELETE", "/all").body)
        assert.equal("BREW", ask("BREW", "/all").body)
        assert.equal(405, ask("BREW", "/doc").status)
    end)

    it("may be one of several of a route", function()
        assert.equal("POST", ask("POST", "/some").body)
        assert.equal("PURGE", ask("PURGE", "/some").body)
        assert.equal("PROPFIND", ask("PROPFIND", "/some").body)
        assert.equal("POST, OPTIONS, PURGE, PROPFIND", ask("GET", "/some"):get("allow"))
        assert.equal("split get", ask("GET", "/split").body)
        assert.equal("split post", ask("POST", "/split").body)
    end)

    it("CONNECT is not served", function()
        assert.equal(501, ask("CONNECT", "test:80", { Host = "test:80" }).status)
    end)
end)

describe("a host", function()
    local ask = served [[
        app:get("/", function(req) return "everywhere" end)
        app:get("/only", function(req) return "only everywhere" end)
        app:host("example.org", function(part) part:get("/", function(req) return "example" end) end)
        app:host("*.example.org", function(part)
            part:get("/", function(req) return "below" end)
            part:get("/sub", function(req) return "sub of " .. req.host end)
        end)
        app:host("a.example.org", function(part) part:get("/", function(req) return "a" end) end)
    ]]

    it("is the exact one before any below a name before all", function()
        assert.equal("example", body_of(ask, "/", { Host = "example.org" }))
        assert.equal("a", body_of(ask, "/", { Host = "a.example.org" }))
        assert.equal("below", body_of(ask, "/", { Host = "b.example.org" }))
        assert.equal("below", body_of(ask, "/", { Host = "x.y.example.org" }))
        assert.equal("everywhere", body_of(ask, "/", { Host = "example.com" }))
        assert.equal("everywhere", body_of(ask, "/", { Host = "badexample.org" }))
    end)

    it("matches in any case, with a port and with a dot at its end", function()
        assert.equal("example", body_of(ask, "/", { Host = "EXAMPLE.Org:8080" }))
        assert.equal("example", body_of(ask, "/", { Host = "example.org." }))
        assert.equal("sub of b.example.org", body_of(ask, "/sub", { Host = "B.example.org:99" }))
    end)

    it("has the routes of all hosts besides its own", function()
        assert.equal("only everywhere", body_of(ask, "/only", { Host = "example.org" }))
        assert.equal("sub of a.example.org", body_of(ask, "/sub", { Host = "a.example.org" }))
        assert.equal(404, body_of(ask, "/sub", { Host = "example.org" }))
    end)
end)

describe("a predicate", function()
    local ask, s = served [[
        local seen = {}
        local function on(name, value) return function(req) seen[#seen + 1] = name; return req.headers["x-" .. name] == value end end
        app:get("/p", function(req) return "default" end)
        app:get("/p", { when = on("a", "1") }, function(req) return "a" end)
        app:get("/p", { when = on("b", "1") }, function(req) return "b" end)
        app:get("/order", function(req) local text = table.concat(seen, " "); seen = {}; return text end)
        app:get("/u/fixed", { when = on("a", "1") }, function(req) return "fixed a" end)
        app:get("/u/:id", { when = on("b", "1") }, function(req) return "param b " .. req.params.id end)
        app:get("/u/*rest", function(req) return "rest " .. req.params.rest end)
        app:get("/none", { when = on("a", "1") }, function(req) return "never without" end)
        app:get("/none", { when = function(req) return req.query.q end }, function(req) return "q=" .. req.query.q end)
        app:post("/none", function(req) return "posted" end)
        app:get("/raise", { when = function(req) error("predicate broke") end }, function(req) return "no" end)
        app:get("/raise", function(req) return "default" end)
        app:get("/waits", { when = function(req) mg.sleep(0.001) return req.headers["x-a"] end }, function(req) return "waited" end)
        app:get("/waits", function(req) return "waited default" end)
        app:get("/names/:a/:b", { when = on("a", "1") }, function(req) return "a=" .. req.params.a .. " b=" .. req.params.b end)
        app:get("/names/:b/:a", { when = function(req) return req.params.a == "swap" end }, function(req) return "swapped b=" .. req.params.b end)
        app:get("/names/:c/:d", function(req) return "c=" .. req.params.c .. " d=" .. req.params.d .. tostring(req.params.a) end)
        app:any("/any", { when = on("a", "1") }, function(req) return "any " .. req.method end)
        app:get("/any", { when = on("b", "1") }, function(req) return "get b" end)
        app:get("/any", function(req) return "get" end)
        app:post("/body", { when = on("a", "1"), body = 4 }, function(req) return "small " .. tostring(req:text()) end)
        app:post("/body", { when = on("b", "1"), body = "2m" }, function(req) return "large " .. #req:text() end)
        app:post("/body", function(req) return "default " .. tostring(req:text() and "read" or select(3, req:text())) end)
        app:get("/place", { when = on("a", "1") }, function(req) end)
        app:get("/place", function(req) end)
    ]]

    it("picks among routes of one pattern, in the order written; the one without is last", function()
        assert.equal("a", body_of(ask, "/p", { ["x-a"] = "1", ["x-b"] = "1" }))
        assert.equal("b", body_of(ask, "/p", { ["x-b"] = "1" }))
        assert.equal("default", body_of(ask, "/p"))
        assert.equal("a a b a b", body_of(ask, "/order"))
    end)

    it("that says no sends the request on to less specific routes", function()
        assert.equal("fixed a", body_of(ask, "/u/fixed", { ["x-a"] = "1" }))
        assert.equal("param b fixed", body_of(ask, "/u/fixed", { ["x-b"] = "1" }))
        assert.equal("rest fixed", body_of(ask, "/u/fixed"))
        assert.equal("rest other", body_of(ask, "/u/other"))
    end)

    it("leaves not-found or another method's 405 when none says yes", function()
        assert.equal("q=7", body_of(ask, "/none?q=7"))
        assert.equal("never without", body_of(ask, "/none", { ["x-a"] = "1" }))
        assert.equal(405, body_of(ask, "/none"))
    end)

    it("that raises is an error, not a no", function()
        assert.equal(500, body_of(ask, "/raise"))
    end)

    it("chooses the names of captures with the route", function()
        assert.equal("a=1 b=2", body_of(ask, "/names/1/2", { ["x-a"] = "1" }))
        assert.equal("swapped b=1", body_of(ask, "/names/1/swap"))
        assert.equal("c=1 d=2nil", body_of(ask, "/names/1/2"))
    end)

    it("of a route for any method stands before routes for some", function()
        assert.equal("any GET", body_of(ask, "/any", { ["x-a"] = "1" }))
        assert.equal("any DELETE", ask("DELETE", "/any", { ["x-a"] = "1" }).body)
        assert.equal("get b", body_of(ask, "/any", { ["x-b"] = "1" }))
        assert.equal("get", body_of(ask, "/any"))
        assert.equal(405, ask("DELETE", "/any").status)
    end)

    it("chooses the limit of the body with the route", function()
        assert.equal("small 1234", ask("POST", "/body", { ["x-a"] = "1" }, "1234").body)
        assert.equal(413, ask("POST", "/body", { ["x-a"] = "1" }, "12345").status)
        assert.equal("large 1500000", ask("POST", "/body", { ["x-b"] = "1" }, ("x"):rep(1500000)).body)
        assert.equal("default read", ask("POST", "/body", nil, ("x"):rep(1048576)).body)
        assert.equal(413, ask("POST", "/body", nil, ("x"):rep(1048577)).status)
        local c = s.server:connect()
        c:send("POST /body HTTP/1.1\r\nHost: a\r\nX-B: 1\r\nContent-Length: 2097153\r\n\r\n")
        assert.equal(413, c:read().status)
    end)

    it("is told apart in the log", function()
        local function line(fields) ask("GET", "/place", fields) return tonumber(s.server:wait_log("GET /place %(.-app%.lua:%d+"):match("%d+$")) end
        local first = line { ["x-a"] = "1" }
        ask("GET", "/place")
        s.server:wait_log(("GET /place %%(.-app%%.lua:%d%%)"):format(first + 1))
    end)

    it("may wait", function()
        assert.equal("waited", body_of(ask, "/waits", { ["x-a"] = "1" }))
        assert.equal("waited default", body_of(ask, "/waits"))
    end)
end)

describe("many routes", function()
    after_each(server.sweep)

    for _, count in ipairs { 511, 513, 1000, 10000 } do
        it(("of %d, first, last and middle answer"):format(count), function()
            local s = server.start { seconds = 30, script = ([[
                local mg = require "moongate"
                local app = mg.app()
                for n = 1, %d do
                    app:get("/r" .. n .. "/:id", function(req) return n .. " " .. req.params.id end)
                end
                app:get("/when", { when = function(req) return req.query.yes end }, function(req) return "yes" end)
                app:get("/*", function(req) return "rest " .. req.params["*"] end)
                return app]]):format(count) }
            local c = s:connect()
            for _, n in ipairs { 1, 2, 255, 256, 257, 509, 510, 511, count - 1, count, math.floor(count / 2) } do
                assert.equal(n .. " x", c:get("/r" .. n .. "/x").body)
            end
            assert.equal("yes", c:get("/when?yes=1").body)
            assert.equal("rest when", c:get("/when").body)
            assert.equal(405, c:post("/r1/x", "").status)
            s:stop()
        end)
    end
end)
