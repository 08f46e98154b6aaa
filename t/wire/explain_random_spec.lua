--- Sites at random, and requests at random for each: what `moongate explain` says of one is what becomes of it. Asked in the worker itself.
--- MG_EXPLAIN_SEED and MG_EXPLAIN_SITES choose others, and more of them.
local http_text = require "t.support.http_text"
local json = require "cjson"
local server = require "t.support.server"
after_each(server.sweep)

local random = { state = tonumber(os.getenv("MG_EXPLAIN_SEED")) or 5 }

--- A whole number of a range, the same in every run.
local function pick(from, to)
    random.state = (random.state * 1103515245 + 12345) % 2147483648
    return from + math.floor(random.state / 65536) % (to - from + 1)
end
local function one(list) return list[pick(1, #list)] end
local function is_one_in(count) return pick(1, count) == 1 end

local SEGMENTS = { "a", "b", "c", ":x", ":y", "a%2Fb", "é", "a.b", "A", ":x", "%41", "x-y" }
local function pattern()
    local segments = {}
    for at = 1, pick(0, 3) do
        local segment = one(SEGMENTS)
        segments[at] = segment == ":x" and ":x" .. (at > 1 and at or "") or segment
    end
    local text = "/" .. table.concat(segments, "/")
    local stem = text == "/" and "" or text
    return one { text, text, text, stem .. "/*", stem .. "/*rest", stem .. "/" }
end

local HOSTS = { "one.test", "*.one.test", "*.test" }
local VERBS = { "get", "get", "get", "post", "any", "delete", "put", "head", "options" }
local PREDICATES = {
    "yes 'x-a'", "yes 'x-b'", "function(req) return req.query.v == '1' end", "function(req) mg.sleep(0.001) return req.headers['x-a'] end",
    "function(req) return req.params.x == 'a' end", "function(req) return req.headers['x-fail'] and error('no') or req.headers['x-b'] end",
}

local HEAD = [==[
local mg = require "moongate"
local cjson, explain, generation = require "cjson", require "moongate.explain", require "moongate.generation"
local app = mg.app()
local function told(id)
    return function(req)
        local params = {}
        for name, value in pairs(req.params) do params[name] = value end
        return { id = id, params = params }
    end
end
local function ran(id)
    return function(req, next)
        local res = next(req)
        res.headers["x-ran"] = id .. "," .. (res.headers["x-ran"] or "")
        return res
    end
end
local function yes(name) return function(req) return req.headers[name] ~= nil end end
app:post("/~explain", { body = "1m" }, function(req)
    return mg.text(cjson.encode(explain.answer(generation.serving(), cjson.decode(req:text()))))
end)
app:on_error("not-found", function(req, err) return 404, "custom" end)
]==]

--- The lines of a site.
local function site()
    local lines, count, used = {}, 0, {}
    for line in HEAD:gmatch("([^\n]*)\n") do lines[#lines + 1] = line end
    local function add(text, ...) lines[#lines + 1] = text:format(...) end
    local function route(on)
        local path, verb, has_predicate = pattern(), one(VERBS), is_one_in(3)
        local shape = on .. verb .. path:gsub(":[^/]*", ":"):gsub("%*.*", "*"):gsub("%%2F", "%%2f")
        if used[shape] and not has_predicate then return end
        used[shape] = true
        count = count + 1
        add("%s:%s(%q, { name = 'r%d'%s%s }, told 'r%d')", on, verb, path, count, has_predicate and ", when = " .. one(PREDICATES) or "",
            is_one_in(4) and ", body = " .. one { "5", "20", "'2m'" } or "", count)
    end
    local function fill(on, routes, filters)
        for _ = 1, routes do route(on) end
        for _ = 1, filters do
            count = count + 1
            add("%s:filter(%q, ran 'f%d')", on, pattern(), count)
        end
    end
    fill("app", pick(3, 14), pick(0, 3))
    for at = 1, pick(0, #HOSTS) do
        add("local h%d = app:host(%q)", at, HOSTS[at])
        fill("h" .. at, pick(1, 5), pick(0, 1))
    end
    if is_one_in(2) then
        add("local g = app:group(%q)", one { "/g", "/a", "/:x" })
        fill("g", pick(1, 4), 1)
    end
    add("return app")
    return lines
end

local ASKED_SEGMENTS = {
    "a", "a", "b", "c", "a%2Fb", "a%2fb", "é", "%C3%A9", "a.b", "A", "%41", "..", ".", "", "%2e%2e", "x-y", "g", "%00", "%", "a b", "a;b", "%25",
}
local ASKED_HOSTS = { "a", "one.test", "x.one.test", "ONE.test", "y.x.one.test", "z.test:81", "one.test.", "[::1]", "" }
local METHODS = { "GET", "GET", "GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH", "BREW", "TRACE", "CONNECT", "get", "PROPFIND" }
local ODD_FIELDS = {
    { "Host", "b" }, { "Transfer-Encoding", "gzip" }, { "Content-Length", "x" }, { "Expect", "weird" }, { "Bad Name", "x" }, { "Connection", "close" },
}

local function question()
    local segments, fields, content = {}, { { "Host", one(ASKED_HOSTS) } }, ""
    for at = 1, pick(0, 4) do segments[at] = one(ASKED_SEGMENTS) end
    for _, name in ipairs { "X-A", "X-B" } do
        if is_one_in(3) then fields[#fields + 1] = { name, one { "1", "" } } end
    end
    if is_one_in(12) then fields[#fields + 1] = { "X-Fail", "1" } end
    if is_one_in(3) then
        content = one { "abc", "abcde", "abcdefgh", ("x"):rep(21) }
        fields[#fields + 1] = { "Content-Length", is_one_in(8) and one { "1500000", "3000000" } or tostring(#content) }
    end
    if is_one_in(25) then fields[#fields + 1] = one(ODD_FIELDS) end
    local target = "/" .. table.concat(segments, "/") .. one { "", "", "?v=1", "?v=2", "?", "?v=%zz" }
    return { method = one(METHODS), target = is_one_in(15) and one { "*", "one.test:80" } or target, fields = fields, content = content }
end

--- What the running worker says of it.
local function explained(s, asked)
    local c = s:connect()
    c:send(http_text.request("POST", "/~explain", { { "Host", "a" } }, json.encode { method = asked.method, target = asked.target, fields = asked.fields }))
    local response = c:read "POST"
    c:close()
    assert.equal(200, response.status)
    return json.decode(response.body)
end

--- What becomes of it.
local function answered(s, asked)
    local lines = { ("%s %s HTTP/1.1\r\n"):format(asked.method, asked.target) }
    for _, field in ipairs(asked.fields) do lines[#lines + 1] = ("%s: %s\r\n"):format(field[1], field[2]) end
    local c = s:connect()
    c:send(table.concat(lines) .. "\r\n" .. asked.content)
    local response = c:read(asked.method)
    c:close()
    return response
end

local function sorted(text)
    local words = {}
    for word in (text or ""):gmatch("[^, ]+") do words[#words + 1] = word end
    table.sort(words)
    return table.concat(words, " ")
end

--- The ids of the filters that run, as the site's filters tell them.
local function filters_of(answer, lines)
    local ids = {}
    for _, filter in ipairs(answer.filters or {}) do
        if filter.runs then ids[#ids + 1] = lines[tonumber(filter.where:match(":(%d+)$"))]:match("ran '(%w+)'") end
    end
    return table.concat(ids, ",")
end

local function compare(answer, response, method, lines, about)
    assert.equal(response.status, answer.status or 200, about)
    if answer.refused then return end
    assert.equal((response:get("x-ran") or ""):gsub(",$", ""), filters_of(answer, lines), about)
    assert.equal(sorted(response:get("allow")), sorted(answer.allow), about)
    if response.status ~= 200 or method == "HEAD" then return end
    local told, params = json.decode(response.body), {}
    for _, capture in ipairs(answer.captures) do params[capture.name] = capture.value end
    assert.equal(told.id, answer.route.name, about)
    assert.same(told.params, params, about)
end

--- A site at random that is sound.
local function started()
    for _ = 1, 50 do
        local lines = site()
        local folder = server.folder { ["app.lua"] = table.concat(lines, "\n") }
        if server.run { "check", folder .. "/app.lua" } == 0 then return server.start { file = folder .. "/app.lua" }, lines end
    end
    error("no sound site in fifty")
end

describe("explain", function()
    it("agrees with the requests of any site", function()
        local counts = {}
        for at = 1, tonumber(os.getenv("MG_EXPLAIN_SITES")) or 6 do
            local s, lines = started()
            for _ = 1, 150 do
                local asked = question()
                local about = ("site %d: %s %s %s\n%s"):format(at, asked.method, asked.target, json.encode(asked.fields), table.concat(lines, "\n"))
                local answer, response = explained(s, asked), answered(s, asked)
                compare(answer, response, asked.method, lines, about)
                counts[response.status] = (counts[response.status] or 0) + 1
            end
            s:stop()
        end
        for _, status in ipairs { 200, 204, 400, 404, 405, 413 } do assert.is_true((counts[status] or 0) > 0, "none with " .. status) end
    end)
end)
