--- Filters around proxied routes: what they set without looking, what they see when they look, and content that they change piece by piece.
local origin = require "t.support.origin"
local server = require "t.support.server"
local wire = require "t.support.wire"

local BIG = 20000000

local function answer(request, o, client)
    local target = request.target
    local function with(body, fields, status)
        return ("HTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n%s"):format(status or "200 OK", fields or "", #body, request.method == "HEAD" and "" or body)
    end
    if target:match("/none$") then return nil end
    if target:match("/teapot$") then return with("short", "X-Pot: yes\r\n", "418 Teapot") end
    if target:match("/tagged$") then
        return with("tagged", 'ETag: "x"\r\nContent-Encoding: x-odd\r\nAccept-Ranges: bytes\r\nContent-Type: text/x-odd\r\n')
    end
    if target:match("/json$") then return with('{"n":1}', "Content-Type: application/json\r\n") end
    if target:match("/304$") then return "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 77\r\n\r\n" end
    if target:match("/204$") then return "HTTP/1.1 204 No Content\r\n\r\n" end
    if target:match("/half$") then
        client:send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
        return nil
    end
    if target:match("/pieces$") then
        client:send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _, piece in ipairs { "one", "two", "three" } do
            client:send(("%x\r\n%s\r\n"):format(#piece, piece))
            o:note(piece)
            require("t.support.process").readable(-1, 0.02)
        end
        return "0\r\n\r\n"
    end
    if target:match("/endless$") then
        client:send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        o:note("endless begins")
        local piece = ("%x\r\n%s\r\n"):format(16384, ("e"):rep(16384))
        while pcall(client.send, client, piece) do end -- until nobody takes it
        o:note("endless is left alone")
        return nil
    end
    if target:match("/big$") then
        client:send(("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"):format(BIG))
        local piece = ("0123456789"):rep(2000)
        for _ = 1, BIG / #piece do client:send(piece) end
        return ""
    end
    return with(request.head .. request.body, "X-Up: 1\r\nX-Both: upstream\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nServer: origin\r\n")
end

local SCRIPT = [[
local mg = require "moongate"
local app = mg.app()
local api = mg.upstream { name = "api", servers = { "ADDRESS" } }
local dead = mg.upstream { name = "dead", servers = { "127.0.0.1:DEAD" } }
app:proxy("/*", api)
app:proxy("/dead/*", dead, { path = "/*" })
local function around(pattern, fn) app:filter(pattern, function(req, next) local res = next(req); return fn(res, req, next) or res end) end
local fed = 0

around("/set/*", function(res)
    res.headers["x-mine"] = "1"
    res.headers["x-up"] = nil
    res.headers["x-both"] = "mine"
    res:add_header("x-added", "1")
    res:add_header("set-cookie", "c=3")
end)
around("/list/*", function(res) res.headers["x-both"] = { "1", "2" } end)
around("/status/*", function(res) res.status = 299 end)
around("/bad-status/*", function(res) res.status = "x" end)
around("/look/*", function(res)
    local status, up = res.status, res.headers["x-up"]
    mg.sleep(0.001)
    res.headers["x-saw"] = status .. " " .. tostring(up) .. " " .. tostring(res.headers["x-both"])
    res.headers["x-up"] = nil
    if status == 418 then res.status = 200 end
end)
around("/before/*", function(res) -- set before it is looked at
    res.headers["x-up"] = nil
    res.headers["x-both"] = "mine"
    res.headers["x-saw"] = tostring(res.headers["x-up"]) .. " " .. res.headers["x-both"] .. " " .. res.status
end)
around("/replace/*", function(res) res.body = "mine" end)
around("/table/*", function(res) res.body = { mine = true } end)
around("/text/*", function(res) local text = res:text(); res.headers["x-bytes"] = tostring(#text) end)
around("/json/*", function(res) local value = res:json(); value.n = value.n + 1; res.body = value end)
around("/limit/*", function(res) local text, message, code = res:text(3); return mg.json { text = text, message = message, code = code } end)
around("/map/*", function(res) res:map(function(piece, is_end) fed = fed + #piece; if is_end then return "|" end return piece:upper() end) end)
around("/map/twice/*", function(res) res:map(function(piece) if piece == "" then return "!" end return "<" .. piece .. ">" end) end)
around("/drop/*", function(res) res:map(function(piece) if not piece:find("two") then return piece end end) end)
around("/slow/*", function(res) res:map(function(piece) mg.sleep(0.01); return piece end) end)
around("/raise/*", function(res) res:map(function(piece) if piece:find("two") then error("the map broke") end return piece end) end)
around("/wrong/*", function(res) res:map(function(piece) return 7 end) end)
around("/own/*", function(res) if res.status == 200 then return mg.text("my own") end end)
around("/again/*", function(res, req, next) assert(res.status == 200); return next(req) end)
around("/headers/*", function(res) res.headers = { ["x-only"] = "1" } end)
app:filter("/local/*", function(req, next) local res = next(req); res:map(function(p, e) return p:upper() .. (e and "." or "") end); return res end)
app:get("/local/text", function() return "text" end)
app:get("/local/json", function() return { a = 1 } end)
app:get("/local/stream", function() return mg.stream(function(out) out:write("one"); out:write("two") end, { length = 6 }) end)
app:get("/local/events", function() return mg.sse(function(events) events:send("x") end) end)
app:get("/local/file", function() return mg.file("app.lua") end)
app:get("/fed", function() return tostring(fed) end)
app:any("/try/:kind", function(req)
    if req.params.kind == "read" then req:text() end
    local res, message, code = req:forward(dead)
    if res then return res end
    local second = req:forward(api, { path = "/second" })
    return second
end)
app:any("/refused", function(req) return req:forward(dead) end)
app:any("/reforward", function(req)
    local first = req:forward(api, { path = "/big" })
    local second, why, status = req:forward(api, { path = "/second" })
    if not second then return nil, why, status end
    local text, message, code = first:text()
    assert(text == nil and code == "closed")
    return second
end)
app:any("/instead", function(req) assert(req:forward(api, { path = "/big" }).status == 200); return mg.proxy(api, { path = "/instead" }) end)
app:on_error(502, function(req, err) return 502, "away: " .. err.message end)
return app
]]

describe("a filter around a proxied route", function()
    local s, o
    setup(function()
        o = origin.start(function(self) self:serve(answer) end)
        s = server.start { script = (SCRIPT:gsub("ADDRESS", o.address):gsub("DEAD", tostring(wire.free_port()))) }
    end)
    teardown(function()
        if s then s:stop() end
        origin.sweep()
        server.sweep()
    end)
    local function hear(text)
        local at = 1
        while o:note_of(at) ~= text do at = at + 1 end
    end
    local function values(response, name)
        local list = {}
        for _, field in ipairs(response.fields) do
            if field[1]:lower() == name then list[#list + 1] = field[2] end
        end
        return list
    end

    it("sets, adds and takes away fields of the upstream without looking at them", function()
        local r = s:get("/set/x")
        assert.equal("1", r:get("x-mine"))
        assert.is_nil(r:get("x-up"))
        assert.same({ "mine" }, values(r, "x-both"))
        assert.equal("1", r:get("x-added"))
        assert.same({ "c=3", "a=1", "b=2" }, values(r, "set-cookie"))
        assert.same({ "1", "2" }, values(s:get("/list/x"), "x-both"))
        assert.equal("origin", r:get("server"))
    end)

    it("sets the status without looking at it", function()
        local r = s:get("/status/teapot")
        assert.equal(299, r.status)
        assert.equal("short", r.body)
        assert.equal(500, s:get("/bad-status/x").status)
    end)

    it("sees status and fields of the upstream when it looks, may wait, and may change them", function()
        local r = s:get("/look/x")
        assert.equal("200 1 upstream", r:get("x-saw"))
        assert.is_nil(r:get("x-up"))
        assert.matches("^GET /look/x ", r.body)
        local pot = s:get("/look/teapot")
        assert.equal(200, pot.status)
        assert.equal("418 nil nil", pot:get("x-saw"))
        assert.equal("short", pot.body)
        assert.equal("nil mine 200", s:get("/before/x"):get("x-saw"))
        local only = s:get("/headers/x")
        assert.equal("1", only:get("x-only"))
        assert.is_nil(only:get("x-up"))
        assert.matches("^GET ", only.body)
    end)

    it("lets content through unseen after a look, both ways and in all sizes", function()
        assert.equal(BIG, #s:get("/look/big").body)
        local c = s:connect()
        for _, size in ipairs { 0, 1, 65537, 700000 } do
            local body = ("b"):rep(size)
            assert.is_true(c:post("/look/x", body).body:sub(-size - 4) == "\r\n\r\n" .. body, size .. " bytes")
        end
        local chunked = c:request("POST", "/look/x", { ["Transfer-Encoding"] = "chunked" }, "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        assert.equal("abcde", chunked.body:sub(-5))
    end)

    it("replaces the body, and what was said of the old one goes", function()
        local r = s:get("/replace/tagged")
        assert.equal("mine", r.body)
        assert.is_nil(r:get("etag") or r:get("content-encoding") or r:get("accept-ranges"))
        assert.equal("text/x-odd", r:get("content-type"))
        local t = s:get("/table/tagged")
        assert.equal('{"mine":true}', t.body)
        assert.equal("application/json", t:get("content-type"))
        assert.equal(418, s:get("/replace/teapot").status)
    end)

    it("reads the content whole, up to a limit", function()
        local r = s:get("/text/tagged")
        assert.equal("tagged", r.body)
        assert.equal("6", r:get("x-bytes"))
        assert.equal('"x"', r:get("etag")) -- it was not changed
        assert.equal('{"n":2}', s:get("/json/json").body)
        assert.matches("too%-long", s:get("/limit/tagged").body)
    end)

    it("maps content piece by piece, with an end to flush at", function()
        local r = s:get("/map/tagged")
        assert.equal("TAGGED|", r.body)
        assert.is_nil(r:get("etag"))
        assert.equal("x-odd", r:get("content-encoding")) -- bytes are mapped as they come
        assert.equal("ONETWOTHREE|", s:get("/map/pieces").body)
        assert.equal("onethree", s:get("/drop/pieces").body)
        assert.equal("onetwothree", s:get("/slow/pieces").body)
        assert.equal("<ONE><TWO><THREE>!|", (s:get("/map/twice/pieces").body:gsub("ONETWO", "ONE><TWO"):gsub("TWOTHREE", "TWO><THREE")))
        assert.equal(BIG + 1, #s:get("/map/big").body)
    end)

    it("maps each piece when it comes", function()
        local stepping = origin.start(function(self)
            local c = self:accept()
            c:read_request()
            c:send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _, piece in ipairs { "one", "two", "three" } do
                c:send(("%x\r\n%s\r\n"):format(#piece, piece))
                self:accept():close() -- the word to go on
            end
            c:send("0\r\n\r\n")
        end)
        local one = server.start { script = ([[
            local mg = require "moongate"
            local app = mg.app()
            app:proxy("/*", "http://ADDRESS")
            app:filter("/*", function(req, next) local res = next(req); res:map(function(p, e) return e and "|" or p:upper() end); return res end)
            return app]]):gsub("ADDRESS", stepping.address) }
        local c = one:connect()
        c:send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert.equal("chunked", c:read_head():get("transfer-encoding"))
        for _, piece in ipairs { "ONE", "TWO", "THREE" } do
            assert.equal(piece, (c:read_chunk()))
            wire.connect(stepping.host, stepping.port):close()
        end
        assert.equal("|", (c:read_chunk()))
        assert.equal("", (c:read_chunk()))
        one:stop()
    end)

    it("maps what the app answers by itself, too, but no files", function()
        assert.equal("TEXT.", s:get("/local/text").body)
        assert.equal('{"A":1}.', s:get("/local/json").body)
        assert.equal("ONETWO.", s:get("/local/stream").body)
        assert.equal("DATA: X\n\n.", s:get("/local/events").body)
        assert.equal(500, s:get("/local/file").status)
        s:wait_log("res:map: a file's content does not pass through Lua")
    end)

    it("does not read on while the client does not", function()
        local before = tonumber(s:get("/fed").body)
        local c = s:connect()
        c:send("GET /map/endless HTTP/1.1\r\nHost: a\r\n\r\n")
        c:read_head()
        hear "endless begins"
        local last, at = -1, 0
        repeat -- until it stands still
            last, at = at, tonumber(s:get("/fed").body) - before
            require("t.support.process").readable(-1, 0.3)
        until at == last
        assert.is_true(at > 0 and at < 20000000, "read ahead: " .. at)
        c:reset()
        hear "endless is left alone"
    end)

    it("ends the response so that the client can tell when a map fails", function()
        for _, path in ipairs { "/raise/pieces", "/wrong/pieces", "/map/half" } do
            local c = s:connect()
            c:send("GET " .. path .. " HTTP/1.1\r\nHost: a\r\n\r\n")
            assert.equal(200, c:read_head().status)
            local rest = c:read_to_end()
            assert.is_nil(rest:find("\r\n0\r\n", 1, true), path)
        end
        s:wait_log("the map broke")
        s:wait_log("expected the function to return a string or nil, got number")
        s:wait_log("in the middle of the response")
    end)

    it("leaves alone answers without content", function()
        for _, path in ipairs { "/map/", "/look/", "/set/" } do
            assert.equal(204, s:get(path .. "204").status)
            local r = s:get(path .. "304")
            assert.equal(304, r.status)
            local c = s:connect()
            assert.equal("", c:head(path .. "tagged").body)
            assert.equal("tagged", c:get(path .. "tagged").body:lower():match("%a+"))
        end
        assert.equal("6", s:connect():head("/look/tagged"):get("content-length"))
    end)

    it("maps for clients of HTTP/1.0, too", function()
        local c = s:connect()
        c:send("GET /map/pieces HTTP/1.0\r\nHost: a\r\n\r\n")
        assert.matches("\r\n\r\nONETWOTHREE|$", c:read_to_end())
    end)

    it("keeps its place among pipelined ones", function()
        local answers = s:connect():pipeline { "/look/x", "/map/tagged", "/x", "/look/teapot" }
        assert.matches("^GET /look/x", answers[1].body)
        assert.equal("TAGGED|", answers[2].body)
        assert.matches("^GET /x", answers[3].body)
        assert.equal("short", answers[4].body)
    end)

    it("may answer by itself after a look, or ask again", function()
        assert.equal("my own", s:get("/own/x").body)
        assert.equal("my own", s:get("/own/big").body)
        assert.matches("^GET /again/x", s:get("/again/x").body)
    end)

    it("sees what failed as a status, and the app's error handler answers", function()
        for _, path in ipairs { "/look/none", "/map/none", "/set/none", "/text/none" } do
            local r = s:get(path)
            assert.equal(502, r.status, path)
            assert.matches("^away: upstream", r.body, 1, path)
        end
    end)

    it("ends with the client", function()
        local c = s:connect()
        c:send("GET /slow/endless HTTP/1.1\r\nHost: a\r\n\r\n")
        c:read_head()
        c:read_chunk()
        local at = #o:noted()
        c:reset()
        repeat at = at + 1 until o:note_of(at) == "endless is left alone"
    end)
end)

describe("req:forward", function()
    local s, o
    setup(function()
        o = origin.start(function(self) self:serve(answer) end)
        s = server.start { script = (SCRIPT:gsub("ADDRESS", o.address):gsub("DEAD", tostring(wire.free_port()))) }
    end)
    teardown(function()
        if s then s:stop() end
        origin.sweep()
        server.sweep()
    end)

    it("tries one upstream, and then another, with content that was read", function()
        assert.matches("^GET /second ", s:get("/try/one").body)
        local body = ("c"):rep(50000)
        local r = s:connect():post("/try/read", body)
        assert.matches("^POST /second ", r.body)
        assert.is_true(r.body:sub(-50000) == body)
    end)

    it("gives what failed as an answer", function()
        local r = s:get("/refused")
        assert.equal(502, r.status)
        assert.matches("connection refused", r.body)
    end)

    it("gives the first response up when the request goes elsewhere", function()
        assert.matches("^GET /second ", s:get("/reforward").body)
        assert.matches("^GET /instead ", s:get("/instead").body)
    end)

    it("sends content that was not read once only", function()
        local r = s:connect():post("/reforward", ("c"):rep(100000))
        assert.equal(500, r.status)
        s:wait_log("its content was read, or sent, in pieces before")
    end)
end)
