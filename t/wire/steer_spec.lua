--- Where requests go: servers, keys, fields, cookies that bind a client, parts of the traffic, copies.
local origin = require "t.support.origin"
local server = require "t.support.server"
local wire = require "t.support.wire"

local SCRIPT = [[
local mg = require "moongate"
local app = mg.app()
local api = mg.upstream { name = "api", servers = { "ONE", "TWO", "THREE" } }
local one, two = mg.upstream { name = "one", servers = { "ONE" } }, mg.upstream { name = "two", servers = { "TWO" } }
local dead = mg.upstream { name = "dead", servers = { "127.0.0.1:DEAD" } }
app:get("/server/:n", function(req) return mg.proxy(api, { server = ({ "ONE", "TWO", "THREE" })[tonumber(req.params.n)] }) end)
app:proxy("/route/:n", api, { server = function(req) return ({ "ONE", "TWO" })[tonumber(req.params.n)] end })
app:get("/unknown", function(req) return mg.proxy(api, { server = "10.9.9.9:1" }) end)
app:get("/fields", function(req)
    return mg.proxy(one, { headers = { ["X-Set"] = "mine", ["x-gone"] = false, ["x-new"] = 7 }, host = "named.example" })
end)
app:get("/path", function(req) return mg.proxy(one, { path = "/other?x=1" }) end)
app:get("/address", function(req) return mg.proxy("http://ONE") end)
for _, name in ipairs { "connection", "host", "x-forwarded-for", "content-length", "bad name" } do
    app:get("/refused/" .. name:gsub(" ", "-"), function() local made = mg.proxy(one, { headers = { [name] = "x" } }) return made end)
end
app:get("/split-field", function() local made = mg.proxy(one, { headers = { x = "a\r\nb: c" } }) return made end)
app:proxy("/sticky", api, { sticky = "lb" })
app:proxy("/sticky/age", api, { sticky = { cookie = "lb", max_age = "1h" } })
app:proxy("/sticky/filtered", api, { sticky = "lb" })
app:filter("/sticky/filtered", function(req, next) local res = next(req); res.headers["x-status"] = tostring(res.status); return res end)
app:proxy("/split", mg.split { { one, weight = 3 }, { two, weight = 1 } })
app:proxy("/split/cookie", mg.split { { one, name = "old" }, { two, name = "new" }, cookie = "part" })
app:proxy("/split/none", mg.split { { one, name = "old" }, { two, name = "new", weight = 0 }, cookie = "part" })
app:proxy("/split/key/:user", mg.split { one, two, key = function(req) return req.params.user end }, { path = "/x" })
app:filter("/mirror/*", function(req, next) mg.log("mirrored " .. tostring(req:mirror(two))); return next(req) end)
app:proxy("/mirror/*", one)
app:any("/mirror-dead", function(req) return tostring(req:mirror(dead)) end)
app:post("/mirror-much", { body = 10 }, function(req) return tostring(req:mirror(two)) end)
return app
]]

describe("a handler that says where its request goes", function()
    local s, origins = nil, {}
    setup(function()
        for at = 1, 3 do
            origins[at] = origin.start(function(self)
                self:serve(function(request, o)
                    if request.target:match("^/mirror") then o:note(request.method .. " " .. request.target .. " " .. request.body) end
                    local body = request.head .. request.body
                    return ("HTTP/1.1 200 OK\r\nX-Which: %d\r\nContent-Length: %d\r\n\r\n%s"):format(at, #body, body)
                end)
            end)
        end
        local names = { ONE = origins[1].address, TWO = origins[2].address, THREE = origins[3].address, DEAD = tostring(wire.free_port()) }
        s = server.start { script = (SCRIPT:gsub("%u+", names)) }
    end)
    teardown(function()
        if s then s:stop() end
        origin.sweep()
        server.sweep()
    end)
    local function which(path, fields) return s:get(path, fields):get("x-which") end

    it("picks a server of the upstream, in a handler and by a function of a route", function()
        for _ = 1, 4 do
            for n = 1, 3 do assert.equal(tostring(n), which("/server/" .. n)) end
            for n = 1, 2 do assert.equal(tostring(n), which("/route/" .. n)) end
        end
        assert.equal(200, s:get("/unknown").status) -- not one of its servers: any
    end)

    it("sets fields, takes some away, and names the host", function()
        local head = s:get("/fields", { ["X-Set"] = "theirs", ["X-Gone"] = "1", ["X-Kept"] = "2" }).body
        assert.matches("\r\nX%-Set: mine\r\n", head)
        assert.is_nil(head:find("theirs", 1, true) or head:lower():find("x-gone", 1, true))
        assert.matches("\r\nx%-new: 7\r\n", head)
        assert.matches("\r\nX%-Kept: 2\r\n", head)
        assert.matches("\r\nHost: named.example\r\n", head)
    end)

    it("asks for another path, with the query that it says", function()
        assert.matches("^GET /other%?x=1 HTTP", s:get("/path?y=2").body)
        assert.equal("1", which("/address"))
    end)

    it("refuses fields that are the gateway's own, and bytes that split them", function()
        for _, path in ipairs { "connection", "host", "x-forwarded-for", "content-length", "bad-name" } do
            assert.equal(500, s:get("/refused/" .. path).status, path)
        end
        assert.equal(500, s:get("/split-field").status)
        s:wait_log("app.lua:%d+: app:proxy: headers: [^\n]*gateway's own")
        s:wait_log("headers: header \"x\": expected a string without controls")
    end)

    it("binds a client to its server by a cookie", function()
        for _, path in ipairs { "/sticky", "/sticky/filtered" } do
            local first = s:get(path)
            local id = first:get("set-cookie"):match("^lb=(%x+); Path=/; HttpOnly; SameSite=Lax$")
            assert.equal(16, #id)
            for _ = 1, 6 do
                local again = s:get(path, { Cookie = "lb=" .. id })
                assert.equal(first:get("x-which"), again:get("x-which"))
                assert.is_nil(again:get("set-cookie"))
            end
        end
        assert.matches("Max%-Age=3600", s:get("/sticky/age"):get("set-cookie"))
        assert.matches("^lb=%x+;", s:get("/sticky", { Cookie = "lb=forged" }):get("set-cookie"))
    end)

    it("spreads clients over the servers", function()
        local seen = {}
        for at = 1, 30 do seen[which("/sticky", { Cookie = ("lb=%016x"):format(at * 7919) })] = true end
        assert.same({ ["1"] = true, ["2"] = true, ["3"] = true }, seen)
    end)

    it("parts traffic by weight", function()
        local counts, c = { 0, 0 }, s:connect()
        for _ = 1, 200 do
            local at = tonumber(c:get("/split"):get("x-which"))
            counts[at] = counts[at] + 1
        end
        assert.is_true(counts[1] > 110 and counts[1] < 190, "of 200: " .. counts[1]) -- 150 are meant
    end)

    it("keeps a client in its part while that has any weight", function()
        local first = s:get("/split/cookie")
        local name = first:get("set-cookie"):match("^part=(%a+);")
        assert.equal(first:get("x-which") == "1" and "old" or "new", name)
        for _, part in ipairs { "old", "new" } do
            for _ = 1, 5 do assert.equal(part == "old" and "1" or "2", which("/split/cookie", { Cookie = "part=" .. part })) end
        end
        local moved = s:get("/split/none", { Cookie = "part=new" })
        assert.equal("1", moved:get("x-which"))
        assert.matches("^part=old;", moved:get("set-cookie"))
    end)

    it("sends equal keys the same way", function()
        local seen = {}
        for user = 1, 20 do
            local at = which("/split/key/" .. user)
            seen[at] = true
            assert.equal(at, which("/split/key/" .. user))
        end
        assert.same({ ["1"] = true, ["2"] = true }, seen)
    end)

    it("mirrors requests with their content, and nobody waits for the copy", function()
        local c = s:connect()
        assert.equal("1", c:get("/mirror/a?x=1"):get("x-which"))
        local r = c:post("/mirror/b", "content")
        assert.equal("1", r:get("x-which"))
        assert.matches("content$", r.body)
        local noted = { origins[2]:note_of(1), origins[2]:note_of(2) }
        table.sort(noted)
        assert.same({ "GET /mirror/a?x=1 ", "POST /mirror/b content" }, noted)
        assert.equal("true", s:get("/mirror-dead").body)
        assert.equal(413, s:connect():post("/mirror-much", ("x"):rep(11)).status)
    end)
end)
