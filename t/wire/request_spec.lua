--- What a handler knows of its request, and that no request knows anything of another.
local served = require("t.support.served").by
local server = require "t.support.server"
local json = require "cjson"

describe("a request", function()
    local ask, s = served [[
        app:any("/dump/:one/*rest", function(req)
            return {
                method = req.method, path = req.path, target = req.target, query_string = req.query_string, params = req.params,
                query = req.query, cookies = req.cookies, host = req.host, port = req.port, authority = req.authority,
                scheme = req.scheme, version = req.version, remote = req.remote, remote_port = req.remote_port, id = req.id,
                content_type = req.content_type, content_length = req.content_length, agent = req.headers["User-Agent"],
            }
        end)
        app:get("/headers", function(req)
            return {
                exact = req.headers["x-Some-Name"], lower = req.headers["x-some-name"], dotted = req.headers.x_some_name,
                missing = req.headers["x-none"] == nil, number = req.headers[7] == nil, values = req:header_values("x-MANY"),
                none = #req:header_values("x-none"), first = req.headers["x-many"], list = req:header_list(), under = req.headers.x_under,
            }
        end)
        app:get("/set/header", function(req) req.headers["x-a"] = "b" return "set" end)
        app:get("/set/field", function(req) local name = "path" req[name] = "/x" return "set" end)
        app:get("/set/param/:id", function(req) req.params.extra = "b" return "set" end)
        app:get("/accepts", function(req) return req:accepts("json", "html") or "none" end)
        app:get("/state", function(req) local before = req.state.x; req.state.x = req.query.x; return tostring(before) .. req.state.x end)
        app:get("/id", function(req) local a = req.id; mg.sleep(0.001) return (a == req.id and "" or "changed ") .. a end)
        app:get("/query", function(req) return req.query end)
        app:get("/waits/:id", function(req)
            local agent = req.headers["user-agent"]
            mg.sleep(0.005)
            return { id = req.params.id, agent = req.headers["user-agent"], same = agent == req.headers["user-agent"], q = req.query.q }
        end)
    ]]

    local function dump(...) return json.decode(ask(...).body) end

    it("tells its line, its host, its client and its content", function()
        local c = s.server:connect()
        local address, port = c.socket:getsockname()
        c:send("POST /dump/a%2Fb/c/d%20e?x=1&y=%26&y=2&z HTTP/1.1\r\nHost: WWW.Example.org:8080\r\nUser-Agent: spec\r\n" ..
            "Cookie: a=1; b=\"two\"; a=3\r\nContent-Type: text/x\r\nContent-Length: 3\r\n\r\nabc")
        local seen = json.decode(c:read().body)
        assert.is_truthy(seen.id:match("^%x+%-%x+$"))
        seen.id = nil
        assert.same({
            method = "POST", path = "/dump/a%2Fb/c/d%20e", target = "/dump/a%2Fb/c/d%20e?x=1&y=%26&y=2&z", query_string = "x=1&y=%26&y=2&z",
            params = { one = "a/b", rest = "c/d e" }, query = { x = "1", y = "&", z = "" }, cookies = { a = "1", b = "two" },
            host = "www.example.org", port = 8080, authority = "WWW.Example.org:8080", scheme = "http", version = "1.1",
            remote = address, remote_port = tonumber(port), content_type = "text/x", content_length = 3, agent = "spec",
        }, seen)
    end)

    it("of HTTP/1.0 without a Host has no host", function()
        local c = s.server:connect()
        c:send("GET /dump/a/b HTTP/1.0\r\n\r\n")
        local seen = json.decode(c:read().body)
        assert.equal("1.0", seen.version)
        assert.equal("", seen.host)
        assert.is_nil(seen.port)
        assert.equal(0, seen.content_length)
    end)

    it("has the host of an IPv6 address in brackets", function()
        local seen = dump("GET", "/dump/a/b", { Host = "[::1]:99" })
        assert.equal("[::1]", seen.host)
        assert.equal(99, seen.port)
    end)

    it("has fields by name in any case, several values, and all of them as they came", function()
        local c = s.server:connect()
        c:send("GET /headers HTTP/1.1\r\nHost: a\r\nX-Some-NAME: value \r\nX-Many: 1\r\nx-many: 2, 3\r\nX-MANY:\r\nx_under: line\r\n\r\n")
        local seen = json.decode(c:read().body)
        assert.equal("value", seen.exact)
        assert.equal("value", seen.lower)
        assert.equal("value", seen.dotted)
        assert.equal("line", seen.under)
        assert.is_true(seen.missing and seen.number)
        assert.same({ "1", "2, 3", "" }, seen.values)
        assert.equal("1", seen.first)
        assert.equal(0, seen.none)
        assert.same({ { "Host", "a" }, { "X-Some-NAME", "value" }, { "X-Many", "1" }, { "x-many", "2, 3" }, { "X-MANY", "" }, { "x_under", "line" } },
            seen.list)
    end)

    it("keeps bytes beyond ASCII as they came", function()
        assert.same({ "caf\195\169", "\255" }, dump("GET", "/headers", { { "Host", "a" }, { "x-many", "caf\195\169" }, { "X-Many", "\255" } }).values)
    end)

    it("cannot be written to, but for its state", function()
        for target, text in pairs {
            ["/set/header"] = "req%.headers is read%-only", ["/set/field"] = "req%.path cannot be set", ["/set/param/7"] = "req%.params%.extra cannot be set",
        } do
            assert.equal(500, ask("GET", target).status)
            s.server:wait_log("app%.lua:%d+: " .. text)
        end
        assert.equal("nil1", ask("GET", "/state?x=1").body)
        assert.equal("nil2", ask("GET", "/state?x=2").body)
    end)

    it("has an id of its own, also while it waits", function()
        local c, seen = s.server:connect(), {}
        for _, response in ipairs(c:pipeline { "/id", "/id", "/id", "/id" }) do
            assert.is_truthy(response.body:match("^%x+%-%x+$"), response.body)
            assert.is_nil(seen[response.body])
            seen[response.body] = true
        end
    end)

    it("says what its client likes best", function()
        assert.equal("html", ask("GET", "/accepts", { Accept = "text/html, application/json;q=0.9" }).body)
        assert.equal("json", ask("GET", "/accepts", { Accept = "application/*" }).body)
        assert.equal("none", ask("GET", "/accepts", { Accept = "image/png" }).body)
    end)

    it("has a query as browsers mean it, and is refused when that has too many arguments", function()
        assert.same({ a = "%zz" }, dump("GET", "/query?a=%zz"))
        assert.equal(200, ask("GET", "/query?" .. ("a&"):rep(1000)).status)
        local refused = ask("GET", "/query?" .. ("a&"):rep(1001))
        assert.equal(400, refused.status)
        assert.equal("400 Bad Request: more than 1000 arguments\n", refused.body)
        assert.same({ a = "b c", ["d+"] = "" }, dump("GET", "/query?a=b+c&d%2B"))
        assert.same({}, dump("GET", "/query?"))
    end)

    it("keeps its fields over a wait, while others come by", function()
        local clients = {}
        for at = 1, 20 do
            clients[at] = s.server:connect()
            clients[at]:send(("GET /waits/%d?q=%d HTTP/1.1\r\nHost: a\r\nUser-Agent: client %d\r\n\r\n"):format(at, at * 2, at))
        end
        for at = 1, 20 do
            assert.same({ id = tostring(at), q = tostring(at * 2), agent = "client " .. at, same = true }, json.decode(clients[at]:read().body))
        end
    end)
end)

describe("two clients with different fields", function()
    local _, s = served [[
        local function seen(req)
            local names = {}
            for name in pairs(req.params) do names[#names + 1] = name end
            for name in pairs(req.query) do names[#names + 1] = "q:" .. name end
            for name in pairs(req.cookies) do names[#names + 1] = "c:" .. name end
            for name in pairs(req.state) do names[#names + 1] = "s:" .. name end
            for _, field in ipairs(req:header_list()) do names[#names + 1] = "h:" .. field[1] end
            table.sort(names)
            return table.concat(names, " ")
        end
        app:extend_request("extra", function(req) return req.headers["x-one"] or "none" end)
        app:filter("/f/*", function(req, next) local res = next(req); if req.query.a then res.headers["x-a"] = req.query.a end return res end)
        app:get("/one/:p", function(req) req.state.mine = 1; return seen(req) .. " " .. req.extra end)
        app:get("/two/:q/:r", function(req) req.state.yours = 1; return seen(req) .. " " .. req.extra end)
        app:post("/text", function(req) return seen(req) .. " " .. req:text() end)
        app:get("/f/x", function(req) return "x" end)
        app:get("/error", function(req) error("broken " .. req.query.a) end)
        app:get("/sleep", function(req) mg.sleep(0.001) return seen(req) end)
    ]]

    it("never see anything of one another, thousands of times", function()
        local one, two = s.server:connect(), s.server:connect()
        for round = 1, 400 do
            local a = one:pipeline {
                { "GET", "/one/1?a=1", { ["X-One"] = "1", Cookie = "k=1" } }, { "POST", "/text", { ["X-B"] = "1" }, "body of " .. round },
                { "GET", "/f/x?a=9" }, "/error?a=1", "/sleep?z=1", "/one/2",
            }
            local b = two:pipeline { "/f/x", "/two/1/2?b=2", { "POST", "/text", {}, "" }, { "GET", "/sleep", { Cookie = "m=1" } }, "/one/3" }
            assert.equal("c:k h:Cookie h:Host h:X-One p q:a s:mine 1", a[1].body)
            assert.equal("h:Content-Length h:Host h:X-B body of " .. round, a[2].body)
            assert.equal("9", a[3]:get("x-a"))
            assert.equal(500, a[4].status)
            assert.equal("h:Host q:z", a[5].body)
            assert.equal("h:Host p s:mine none", a[6].body)
            assert.is_nil(b[1]:get("x-a"))
            assert.equal("h:Host q q:b r s:yours none", b[2].body)
            assert.equal("h:Content-Length h:Host ", b[3].body)
            assert.equal("c:m h:Cookie h:Host", b[4].body)
            assert.equal("h:Host p s:mine none", b[5].body)
        end
    end)
end)

describe("over a unix socket", function()
    after_each(server.sweep)

    it("a request's client has no address", function()
        local folder = server.folder()
        local s = server.start {
            script = [[local mg = require "moongate"; local app = mg.app()
                app:get("/", function(req) return { remote = req.remote, port = req.remote_port, host = req.host } end) return app]],
            listen = { "unix:" .. folder .. "/s" },
        }
        local seen = json.decode(s:get("/").body)
        assert.equal("unix", seen.remote)
        assert.is_nil(seen.port)
        s:stop()
    end)
end)
