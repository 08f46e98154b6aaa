--- `moongate explain`: what it says of a request is what becomes of it. Compared with real requests, many and at random.
local http_text = require "t.support.http_text"
local json = require "cjson"
local server = require "t.support.server"

after_each(server.sweep)

--- Routes of every kind; each handler says which it is and what it captured, each filter that it ran.
local SITE = [==[
local mg = require "moongate"
local app = mg.app()

local function told(name)
    return function(req)
        local params = {}
        for key, value in pairs(req.params) do params[key] = value end
        return { name = name, params = params }
    end
end
local function ran(id)
    return function(req, next)
        local res = next(req)
        res.headers["x-ran"] = id .. "," .. (res.headers["x-ran"] or "")
        return res
    end
end
local function has(name) return function(req) return req.headers[name] ~= nil end end

app:filter("/*", ran "all")
app:filter("/a/*", ran "below-a")
app:filter("/a/:one", ran "one")
local count = 0
for _, pattern in ipairs { "/", "/a", "/a/", "/a/b", "/a/:x", "/a/:x/c", "/a/b/*rest", "/:y/b", "/:y/:z/c", "/b/*", "/c/:p/*q", "/d/e/f/g", "/caf%C3%A9" } do
    for _, method in ipairs { "get", "post" } do
        count = count + 1
        if count % 3 ~= 0 then app[method](app, pattern, { name = method .. " " .. pattern }, told(method .. " " .. pattern)) end
    end
end
app:any("/any/:w", { name = "any" }, told "any")
app:get("/a/b", { name = "beta", when = has "x-beta" }, told "beta")
app:get("/a/:x", { name = "gamma", when = has "x-gamma" }, told "gamma")
app:get("/a/:x", { name = "waits", when = function(req) mg.sleep("1ms") return req.headers["x-waits"] ~= nil end }, told "waits")
app:post("/small", { name = "small", body = 10 }, told "small")
app:host("one.test", function(host)
    host:filter("/*", ran "inner")
    host:get("/a/b", { name = "inner" }, told "inner")
    host:delete("/:x", { name = "inner-delete" }, told "inner-delete")
end)
app:host("*.many.test", function(host) host:get("/a/:x", { name = "many" }, told "many") end)
return app
]==]

local random = { state = 88172645 }
function random.below(n) -- the same sequence in every run
    random.state = (random.state * 1103515245 + 12345) % 2147483648
    return math.floor(random.state / 65536) % n + 1
end
local function one_of(list) return list[random.below(#list)] end

local SEGMENTS = { "a", "b", "c", "d", "e", "f", "g", "any", "a%2fb", "..", ".", "", "caf%C3%A9", "caf%c3%a9", "x y", "%zz", "small", "%61" }
local HOSTS = { "test", "one.test", "ONE.test:80", "x.many.test", "a.b.many.test", "many.test" }
local METHODS = { "GET", "GET", "GET", "HEAD", "POST", "DELETE", "OPTIONS", "BREW" }

local function question()
    local segments = {}
    for at = 1, random.below(5) - 1 do segments[at] = one_of(SEGMENTS) end
    local fields = { { "Host", one_of(HOSTS) } }
    if random.below(3) == 1 then fields[2] = { one_of { "X-Beta", "X-Gamma", "X-Waits" }, "1" } end
    return { method = one_of(METHODS), target = "/" .. table.concat(segments, "/") .. one_of { "", "?q=1", "" }, fields = fields }
end

--- `from`: "--file", or "--name" for the running instance.
local function explained(s, asked, from)
    local words = { "explain", asked.method, asked.target, "--json", from, from == "--name" and s.name or s.file }
    for _, field in ipairs(asked.fields) do
        words[#words + 1] = "-H"
        words[#words + 1] = field[1] .. ": " .. field[2]
    end
    local code, out, err = server.run(words)
    assert.equal(0, code, err)
    return json.decode(out)
end

local function sorted(text)
    local words = {}
    for word in (text or ""):gmatch("[^, ]+") do words[#words + 1] = word end
    table.sort(words)
    return table.concat(words, " ")
end

local function shown(asked) return asked.method .. " " .. asked.target .. " " .. json.encode(asked.fields) end

--- The ids of the filters that an explanation says run, as the site's filters tell them.
local function filters_of(answer, lines)
    local ids = {}
    for _, filter in ipairs(answer.filters or {}) do
        if filter.runs then ids[#ids + 1] = lines[tonumber(filter.where:match(":(%d+)$"))]:match('ran "([%w-]+)"') end
    end
    return table.concat(ids, ",")
end

local function compare(asked, answer, response, lines)
    local about = shown(asked)
    if answer.route and not answer.status then
        assert.equal(200, response.status, about)
        if asked.method ~= "HEAD" then
            local told = json.decode(response.body)
            assert.equal(told.name, answer.route.name, about)
            local params = {}
            for _, capture in ipairs(answer.captures) do params[capture.name] = capture.value end
            assert.same(told.params, params, about)
        end
        assert.equal((response:get("x-ran") or ""):gsub(",$", ""), filters_of(answer, lines), about)
    else
        assert.equal(response.status, answer.status, about)
        assert.equal(sorted(response:get("allow")), sorted(answer.allow), about)
    end
end

describe("explain", function()
    local function agrees(from)
        local s = server.start { script = SITE, workers = 2 }
        local lines, counts = {}, {}
        for line in (SITE .. "\n"):gmatch("([^\n]*)\n") do lines[#lines + 1] = line end
        for _ = 1, tonumber(os.getenv("MG_EXPLAIN_COUNT")) or 120 do
            local asked = question()
            local c = s:connect()
            c:send(http_text.request(asked.method, asked.target, asked.fields))
            local response = c:read(asked.method)
            c:close()
            compare(asked, explained(s, asked, from), response, lines)
            counts[response.status] = (counts[response.status] or 0) + 1
        end
        for _, status in ipairs { 200, 204, 400, 404, 405 } do assert.is_true((counts[status] or 0) > 0, "none with " .. status) end
        s:stop()
    end

    it("says of a request what becomes of it, asked of a file", function() agrees "--file" end)

    it("says the same when the running instance is asked", function() agrees "--name" end)

    it("tells why the others lose", function()
        local s = server.start { script = SITE }
        local function why(answer, name)
            for _, loser in ipairs(answer.losers) do
                if loser.route:find(name, 1, true) then return loser.why end
            end
        end
        local answer = explained(s, { method = "GET", target = "/a/b", fields = { { "Host", "test" }, { "X-Beta", "1" } } }, "--file")
        assert.equal("beta", answer.route.name)
        assert.matches("less specific", why(answer, "GET /a/:x"))
        assert.equal("is for host one.test", why(answer, "one.test/a/b"))
        answer = explained(s, { method = "GET", target = "/a/z", fields = { { "Host", "test" } } }, "--file")
        assert.equal("its `when` said no", why(answer, "GET /a/:x"))
        answer = explained(s, { method = "GET", target = "/any/1", fields = { { "Host", "test" } } }, "--file")
        assert.equal("any", answer.route.name)
        answer = explained(s, { method = "POST", target = "/small", fields = { { "Host", "test" }, { "Content-Length", "11" } } }, "--name")
        assert.equal(413, answer.status)
        s:stop()
    end)

    it("is for people first", function()
        local s = server.start { script = SITE }
        local code, out = server.run { "explain", "POST", "/a/zz", "--file", s.file }
        assert.equal(0, code)
        assert.matches("^POST /a/zz on localhost\n  goes to POST /a/:x, written at %S+app%.lua:%d+\n  captures  x = \"zz\"\n  filters   1%. %S+  runs\n", out)
        code, out = server.run { "explain", "get", "/nowher", "--file", s.file }
        assert.equal(0, code)
        assert.matches("is answered 40[45]", out)
        s:stop()
    end)

    it("refuses what is no question", function()
        for _, words in ipairs { { "explain" }, { "explain", "GET" }, { "explain", "GET", "/", "-H", "no-colon" }, { "explain", "GET", "/", "-H", ":x" } } do
            assert.equal(2, (server.run(words)))
        end
        local code, _, err = server.run { "explain", "GET", "/", "--file", "/nowhere.lua" }
        assert.equal(1, code)
        assert.matches("nowhere%.lua", err)
    end)
end)
