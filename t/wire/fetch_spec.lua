--- mg.fetch in the whole program, against a scripted origin.
local origin = require "t.support.origin"
local process = require "t.support.process"
local server = require "t.support.server"
local wire = require "t.support.wire"

--- What the origin answers, by target. It notes what it was sent.
local function answer(request, o, client)
    local target = request.target
    local function last(text) client:send(text) end -- and then the connection ends
    local function with(body, fields) return ("HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s"):format(fields or "", #body, body) end
    if target == "/none" then return nil end
    if target == "/garbage" then return "garbage\r\n\r\n" end
    if target == "/half" then return last "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this" end
    if target == "/json" then return with('{"a":[1,2]}', "Content-Type: application/json\r\n") end
    if target == "/fields" then return with("x", "X-One: 1\r\nX-Two: a\r\nx-two: b\r\n") end
    if target == "/chunks" then return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n" end
    if target == "/close" then return last "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end" end
    if target == "/empty" then return "HTTP/1.1 204 No Content\r\n\r\n" end
    if target:match("^/hang") then
        o:note(target .. " hangs")
        local ok, message = pcall(client.expect_close, client, true)
        o:note(target .. (ok and " is left alone" or message))
        return nil
    end
    if target == "/late" then
        client:send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
        pcall(client.expect_close, client, true)
        return nil
    end
    if target:match("^/big/") then return with(("x"):rep(tonumber(target:match("%d+")))) end
    local status, to = target:match("^/to/(%d+)(.*)$")
    if status then return ("HTTP/1.1 %s Moved\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n"):format(status, to) end
    return with(request.head .. request.body)
end

local SCRIPT = [[
local mg = require "moongate"
local app = mg.app()
local O = "http://ADDRESS"
local api = mg.upstream { name = "api", servers = { "ADDRESS" } }
local function told(res, message, code)
    if res then return { status = res.status, text = res:text(), url = res.url } end
    return { message = message, code = code }
end
local function told2(res) local text, message, code = res:text(); return { bytes = text and #text, message = message, code = code } end
app:get("/get/*", function(req) return told(mg.fetch(O .. "/" .. req.params["*"])) end)
app:get("/dead", function() return told(mg.fetch("http://127.0.0.1:DEAD/")) end)
app:get("/return/*", function(req) return mg.fetch(O .. "/" .. req.params["*"]) end)
app:get("/status/*", function(req) return 203, mg.fetch(O .. "/" .. req.params["*"]), { ["x-mine"] = "1" } end)
app:get("/head", function() return told(mg.fetch(O .. "/x", { method = "HEAD" })) end)
app:get("/all", function()
    local r = mg.fetch(O .. "/x?a=1#part", { method = "PATCH", headers = { ["x-a"] = "1", ["x-b"] = { "2", "3" } }, query = { q = "a b" }, json = { n = 1 } })
    return r:text()
end)
app:get("/form", function() return mg.fetch(O .. "/x", { form = { a = "1 2", b = { "x", "y" } } }):text() end)
app:get("/pieces", function()
    local n = 0
    return mg.fetch(O .. "/x", { method = "PUT", body = function() n = n + 1; mg.sleep(0.001); if n <= 3 then return "piece" .. n end end }):text()
end)
app:get("/sized", function()
    local left = { "ab", "cd" }
    return mg.fetch(O .. "/x", { method = "PUT", length = 4, body = function() return table.remove(left, 1) end }):text()
end)
app:get("/short", function() return told(mg.fetch(O .. "/x", { length = 4, body = function() return nil end })) end)
app:get("/raises", function() return told(mg.fetch(O .. "/x", { body = function() error("the reader broke") end })) end)
app:get("/fails", function() return told(mg.fetch(O .. "/x", { body = function() return nil, "no more paper" end })) end)
app:get("/upload/:n", function(req) return tostring(#mg.fetch(O .. "/x", { body = ("y"):rep(tonumber(req.params.n)), max = "100m" }):text()) end)
app:get("/json", function() return mg.fetch(O .. "/json"):json() end)
app:get("/nojson", function() return told(nil, select(2, mg.fetch(O .. "/fields"):json())) end)
app:get("/fields", function()
    local res = mg.fetch(O .. "/fields")
    return { one = res.headers["x-ONE"], none = res.headers.nothing == nil, two = res:header_values("X-Two"), all = #res:header_list(), ok = res.ok }
end)
app:get("/read/*", function(req)
    local sum, pieces = 0, 0
    for piece in mg.fetch(O .. "/" .. req.params["*"]):chunks() do sum, pieces = sum + #piece, pieces + 1 end
    return { sum = sum }
end)
app:get("/halves", function()
    local next = mg.fetch(O .. "/half"):chunks()
    local first = next()
    local piece, message, code = next()
    return { first = first, piece = piece == nil, message = message, code = code }
end)
app:get("/max/:n", function(req) return told2(mg.fetch(O .. "/big/1000", { max = tonumber(req.params.n) })) end)
app:get("/slow", function() return told(mg.fetch(O .. "/hang", { timeout = "50ms" })) end)
app:get("/slow/head", function() return told(mg.fetch(O .. "/hang", { timeout = { head = "50ms" }, retry = false })) end)
app:get("/slow/content", function() return told2(mg.fetch(O .. "/late", { timeout = "1s" })) end)
app:get("/gone", function() local _, message, code = mg.fetch(O .. "/hang/client"); mg.log("after: " .. tostring(message) .. " " .. tostring(code)); return "" end)
app:get("/cancelled", function() return told(mg.timeout("50ms", mg.fetch, O .. "/hang/task")) end)
app:get("/redirect", function(req) return told(mg.fetch(O .. req.query.to, { method = req.query.method, body = req.query.body,
    headers = { authorization = "secret", cookie = "a=1" }, redirects = tonumber(req.query.most) })) end)
app:get("/url", function(req) return told(mg.fetch(req.query.url)) end)
app:get("/socket", function(req) return told(mg.fetch("/over", { socket = req.query.path })) end)
app:get("/escaped", function(req) return told(mg.fetch("http+unix://" .. req.query.path:gsub("/", "%%2F") .. "/over")) end)
app:get("/upstream", function() return told(mg.fetch("/x", { upstream = api })) end)
app:get("/together", function()
    local a, b = mg.all(function() return mg.fetch(O .. "/1") end, function() return mg.fetch(O .. "/json") end)
    return { a:text():match("^%S+ %S+"), b:json().a[2] }
end)
app:get("/closed", function()
    local res = mg.fetch(O .. "/big/1000000")
    res:close()
    return told(nil, select(2, res:text()))
end)
app:get("/twice", function() local res = mg.fetch(O .. "/big/100000"); res:text(); return tostring(pcall(res.chunks, res)) end)
app:get("/spawned", function() mg.spawn(function() mg.fetch(O .. "/from-a-task"); mg.log("the task has it") end); return "" end)
for _, name in ipairs { "connection", "content-length", "bad name", "x" } do
    app:get("/header/" .. name:gsub(" ", "-"), function() mg.fetch(O, { headers = { [name] = "a\r\nb: c" } }) end)
end
app:get("/misuse", function() local res = mg.fetch(O, { bodie = "x" }) return res end)
app:get("/both", function() local res = mg.fetch(O, { body = "x", json = {} }) return res end)
app:on_error(504, function(req, err) return mg.fetch(O .. "/handler") end)
app:get("/error", function() return 504 end)
app:on_start(function() assert(mg.fetch(O .. "/start").status == 200) end)
app:on_stop(function() mg.log("stop " .. tostring(mg.fetch(O .. "/stop").status)) end)
return app
]]

describe("mg.fetch", function()
    local s, o
    setup(function()
        o = origin.start(function(self) self:serve(answer) end)
        s = server.start { script = (SCRIPT:gsub("ADDRESS", o.address):gsub("DEAD", tostring(wire.free_port()))) }
    end)
    teardown(function()
        if s then s:stop() end
        assert.matches("stop 200", s and s:log() or "")
        origin.sweep()
        server.sweep()
    end)

    local json = require("cjson.safe")
    local function get(path) return assert(json.decode(s:get(path).body), path) end

    --- Waits until the origin has said so.
    local function hear(text)
        local at = 1
        while o:note_of(at) ~= text do at = at + 1 end
    end

    it("sends a request of its own, with nothing that a proxy would add", function()
        local told = get "/get/path?x"
        assert.equal(200, told.status)
        assert.matches("^GET /path HTTP/1.1\r\n", told.text)
        assert.matches("\r\nHost: " .. o.address:gsub("%.", "%%."), told.text)
        assert.is_nil(told.text:lower():find("via", 1, true) or told.text:lower():find("forwarded", 1, true))
        assert.equal("http://" .. o.address .. "/path", told.url)
    end)

    it("sends method, fields, arguments and JSON", function()
        local text = s:get("/all").body
        assert.matches("^PATCH /x%?a=1&q=a%%20b HTTP/1.1\r\n", text)
        for _, line in ipairs { "x%-a: 1", "x%-b: 2", "x%-b: 3", "Content%-Type: application/json", "Content%-Length: 7", "User%-Agent: moongate" } do
            assert.matches("\r\n" .. line .. "\r\n", text)
        end
        assert.matches('\r\n\r\n{"n":1}$', text)
        assert.matches("urlencoded\r\n.*\r\n\r\na=1%%202&b=x&b=y$", s:get("/form").body)
    end)

    it("sends content piece by piece, in chunks or with the length said", function()
        local text = s:get("/pieces").body
        assert.matches("\r\nTransfer%-Encoding: chunked\r\n", text)
        assert.matches("piece1piece2piece3$", text)
        assert.matches("\r\nContent%-Length: 4\r\n\r\nabcd$", s:get("/sized").body)
    end)

    it("fails when a body is not as long as was said, and when its function raises or fails", function()
        assert.equal(500, s:get("/short").status)
        assert.matches("not as long", s:wait_log("[^\n]*not as long[^\n]*"))
        assert.equal(500, s:get("/raises").status)
        s:wait_log("the reader broke")
        assert.equal(500, s:get("/fails").status)
        s:wait_log("no more paper")
    end)

    it("sends strings of every size", function()
        for _, size in ipairs { 1, 65536, 65537, 3000000 } do
            local bytes = tonumber(s:get("/upload/" .. size).body)
            assert.is_true(bytes > size and bytes < size + 300, size .. ": " .. tostring(bytes))
        end
    end)

    it("reads content of every framing", function()
        assert.equal("abcde", get("/get/chunks").text)
        assert.equal("until the end", get("/get/close").text)
        assert.equal("", get("/get/empty").text)
        assert.equal(204, get("/get/empty").status)
        assert.equal("", get("/head").text)
        assert.equal(5000000, get("/read/big/5000000").sum)
        assert.same({ a = { 1, 2 } }, get "/json")
        assert.equal(502, get("/nojson").code)
    end)

    it("gives fields by name in any case, and all of one name", function()
        assert.same({ one = "1", none = true, two = { "a", "b" }, all = 4, ok = true }, get "/fields")
    end)

    it("says what failed, and the status that stands for it", function()
        for path, pattern in pairs {
            ["/dead"] = "connection refused", ["/get/none"] = "before a response head", ["/get/garbage"] = "malformed response head",
        } do
            local told = get(path)
            assert.equal(502, told.code, path)
            assert.matches(pattern, told.message)
        end
        local half = get "/halves"
        assert.equal("only this", half.first)
        assert.equal(502, half.code)
        assert.matches("in the middle of the response", half.message)
    end)

    it("has a limit for content that is read whole", function()
        assert.equal(1000, get("/max/1000").bytes)
        local told = get "/max/999"
        assert.equal("too-long", told.code)
        assert.matches("longer than 999", told.message)
    end)

    it("has limits of time, for all of it and for the head", function()
        local before = process.now()
        local told = get "/slow"
        assert.equal(504, told.code)
        assert.equal("no response in time", told.message)
        assert.equal(504, get("/slow/head").code)
        local late = get "/slow/content"
        assert.same({ 504, "its content did not come in time" }, { late.code, late.message })
        assert.is_true(process.now() - before < 4)
    end)

    it("ends with the client that it is for", function()
        local c = s:connect()
        c:send("GET /gone HTTP/1.1\r\nHost: a\r\n\r\n")
        hear "/hang/client hangs"
        c:reset()
        hear "/hang/client is left alone"
        s:wait_log("after: the client has gone gone")
    end)

    it("ends with the task that is cancelled", function()
        assert.equal("timeout", get("/cancelled").code)
        hear "/hang/task is left alone"
    end)

    it("is the answer when it is returned: status, fields and content", function()
        local r = s:get("/return/fields")
        assert.equal("x", r.body)
        assert.equal("1", r:get("x-one"))
        assert.equal(3000000, #s:get("/return/big/3000000").body)
        assert.equal("abcde", s:get("/return/chunks").body)
        assert.equal("until the end", s:get("/return/close").body)
        local mine = s:get("/status/fields")
        assert.equal(203, mine.status)
        assert.equal("1", mine:get("x-mine"))
        assert.equal(502, s:get("/return/none").status)
        assert.equal("", s:connect():head("/return/big/100000").body)
    end)

    it("breaks off so that the client can tell when what is returned does", function()
        local c = s:connect()
        c:send("GET /return/half HTTP/1.1\r\nHost: a\r\n\r\n")
        assert.equal(200, c:read_head().status)
        assert.equal("only this", c:read_bytes(9))
        c:expect_close()
    end)

    it("follows redirects by the rules of their status, to a bound", function()
        local function redirect(query) return get("/redirect?" .. query) end
        assert.matches("^GET /there HTTP.*secret", redirect("to=/to/302/there").text)
        assert.matches("^GET /there HTTP", redirect("to=/to/303/there&method=PUT&body=b").text)
        assert.matches("^GET /there HTTP", redirect("to=/to/301/there&method=POST&body=b").text)
        assert.matches("^PUT /there HTTP.*\r\n\r\nb$", redirect("to=/to/301/there&method=PUT&body=b").text)
        assert.matches("^POST /there HTTP.*\r\n\r\nb$", redirect("to=/to/308/there&method=POST&body=b").text)
        assert.equal(302, redirect("to=/to/302/there&most=0").status)
        assert.equal(200, redirect("to=/to/302/to/302/there&most=2").status)
        local told = redirect "to=/to/302/to/302/there&most=1"
        assert.equal("redirects", told.code)
        assert.matches("more than 1 redirect", told.message)
        assert.equal("unsupported", redirect("to=/to/302https://example.org/").code)
    end)

    it("tells no other origin its secrets", function()
        local other = origin.start(function(self) self:serve(answer) end)
        local told = get("/redirect?to=/to/307http://" .. other.address .. "/there")
        assert.matches("^GET /there HTTP", told.text)
        assert.is_nil(told.text:find("secret", 1, true) or told.text:lower():find("cookie", 1, true))
    end)

    it("refuses what is no URL of its kind", function()
        for url, code in pairs {
            ["https://example.org/"] = "unsupported", ["ftp://example.org/"] = "unsupported", ["example.org"] = "url", ["http://"] = "url",
            ["http://a:b@example.org/"] = "url", ["http://exa mple.org/"] = "url", ["http://example.org:99999/"] = "url",
        } do
            assert.equal(code, get("/url?url=" .. url:gsub("[ :@/]", function(c) return ("%%%02X"):format(c:byte()) end)).code, url)
        end
        assert.matches("https is not there yet", get("/url?url=https%3A%2F%2Fexample.org").message)
    end)

    it("reaches Unix sockets and upstreams", function()
        local path = process.folder() .. "/socket"
        local unix = server.start { listen = { "unix:" .. path }, script = [[local app = require("moongate").app()
            app:get("/over", function() return "over it" end) return app]] }
        assert.equal("over it", get("/socket?path=" .. path).text)
        assert.equal("over it", get("/escaped?path=" .. path).text)
        unix:stop()
        assert.matches("^GET /x HTTP/1.1\r\nHost: api\r\n", get("/upstream").text)
    end)

    it("may be several at once, and outlive the request in a task of its own", function()
        assert.same({ "GET /1", 2 }, get "/together")
        s:get("/spawned")
        s:wait_log("the task has it")
    end)

    it("answers in an error handler", function()
        assert.matches("^GET /handler HTTP", s:get("/error").body)
    end)

    it("gives its content once, and none when it was closed", function()
        assert.equal("closed", get("/closed").code)
        assert.equal("false", s:get("/twice").body)
    end)

    it("raises at the line of misuse", function()
        for path, message in pairs {
            ["/misuse"] = "mg.fetch: bodie: unknown key", ["/both"] = "of body, json and form one is given", ["/header/x"] = "must not be in a header field",
            ["/header/connection"] = "the gateway's own to send", ["/header/content-length"] = "the gateway's own to send",
            ["/header/bad-name"] = "no name of a header field",
        } do
            assert.equal(500, s:get(path).status, path)
            s:wait_log(("app.lua:%%d+: [^\n]*%s"):format(message:gsub("[%-.]", "%%%0")))
        end
    end)
end)
