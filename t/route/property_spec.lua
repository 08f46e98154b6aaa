local route = require "t.support.routes"

local SEED = tonumber(os.getenv("MG_SEED")) or 20250711
local HOSTS = { "", "", "", "a.b", "*.b", "*.a.b", "c" }
local ASKED_HOSTS = { "a.b", "x.b", "x.a.b", "y.x.a.b", "c", "b", "z" }
local SEGMENTS = { "a", "b", "", "eightlet", "ninelette", "é" }
local METHODS = { "*", "GET", "HEAD", "POST", "GET,POST", "HEAD,PUT" }
local SENT = { ["é"] = "%C3%A9" }

local function pick(list) return list[math.random(#list)] end

local function random_pattern()
    local parts, count = {}, math.random(4)
    for i = 1, count do
        local dice = math.random(10)
        parts[i] = dice <= 3 and ":p" .. i or dice == 4 and i == count and "*rest" or pick(SEGMENTS)
    end
    return "/" .. table.concat(parts, "/")
end

--- Half of the paths are made after one of the patterns, with other parameters.
local function random_path(routes)
    local parts = {}
    if #routes > 0 and math.random(2) == 1 then
        return (pick(routes)[1]:gsub("[:*][^/]*", function() return pick(SEGMENTS) end):gsub("é", SENT))
    end
    for i = 1, math.random(5) do
        local segment = math.random(6) == 1 and "other" or pick(SEGMENTS)
        parts[i] = SENT[segment] or segment
    end
    return "/" .. table.concat(parts, "/")
end

local function split(path)
    local list = {}
    for segment in path:gmatch("/([^/]*)") do list[#list + 1] = segment end
    return list
end

--- Does the pattern fit? Returns its kinds as text, which sorts by precedence, and the captures.
local function fit(pattern, path)
    local wants, haves, kinds, captures = split(pattern), split(path), {}, {}
    for i, want in ipairs(wants) do
        local have = haves[i]
        if not have then return end
        if want:sub(1, 1) == "*" then
            captures[#captures + 1] = table.concat(haves, "/", i)
            return table.concat(kinds) .. "3", captures
        elseif want:sub(1, 1) == ":" then
            if have == "" then return end
            captures[#captures + 1] = have
            kinds[i] = "2"
        elseif (SENT[want] or want) == have then
            kinds[i] = "1"
        else
            return
        end
    end
    if #wants == #haves then return table.concat(kinds), captures end
end

--- "0" exact, then the longer the suffix the earlier, "9" any; nil: does not fit.
local function host_rank(rule, host)
    if not rule or rule == "" then return "9" end
    if rule == host then return "0" end
    local suffix = rule:match("^%*(%..*)")
    if suffix and #host > #suffix and host:sub(-#suffix) == suffix then return tostring(8 - #suffix) end
end

local function has(methods, method)
    return methods == "*" or ("," .. methods .. ","):find("," .. method .. ",", 1, true) ~= nil
end

--- All candidates for the request, best first, as route.answer writes them; and the methods allowed, as a set.
local function reference(routes, method, path, host)
    local found, allow = {}, {}
    for _, one in ipairs(routes) do
        local rank, kinds, captures = host_rank(one.host, host), fit(one[1], path)
        if rank and kinds then
            for name in one[2]:gmatch("[^,]+") do allow[name] = true end
            local follows = method == "HEAD" and has(one[2], "GET")
            if has(one[2], method) or follows then
                local last = one[2] == "*" and "2" or has(one[2], "HEAD") and "0" or "1"
                found[#found + 1] = { rank .. kinds .. "0" .. last, table.concat({ one.number, unpack(captures) }, " ") }
            end
        end
    end
    allow.HEAD = allow.HEAD or allow.GET
    table.sort(found, function(a, b) return a[1] < b[1] end)
    return found, allow
end

local function allowed_text(allow)
    if allow["*"] then return "405 *" end
    local names = {}
    for _, name in ipairs { "GET", "HEAD", "POST", "PUT" } do if allow[name] then names[#names + 1] = name end end
    return #names > 0 and "405 " .. table.concat(names, ",") or "404"
end

local function random_program()
    local builder, routes = route.builder(), {}
    for number = 1, math.random(25) do
        local one = { random_pattern(), pick(METHODS), host = pick(HOSTS), number = number }
        local error, text = route.add(builder, one, number)
        assert(error == 0 or error == -17, text)
        if error == 0 then routes[#routes + 1] = one end
    end
    return route.compile(builder), routes
end

describe(("the router and a naive one, on random routes (MG_SEED=%d)"):format(SEED), function()
    it("answer alike, candidate after candidate, at bounded cost", function()
        math.randomseed(SEED)
        local matched = 0
        for _ = 1, 300 do
            local program, routes = random_program()
            for _ = 1, 60 do
                local method, path, host = pick { "GET", "HEAD", "POST", "PUT" }, random_path(routes), pick(ASKED_HOSTS)
                local want, allow = reference(routes, method, path, host)
                for skip = 0, #want do
                    local expected = want[skip + 1] and want[skip + 1][2] or allowed_text(allow)
                    assert.equal(expected, route.answer(program, method, path, host, skip), method .. " " .. host .. path)
                end
                local _, steps = route.match(program, "OTHER", path, host)
                assert.is_true(steps <= program.steps_max)
                matched = matched + #want
            end
        end
        assert.is_true(matched > 5000) -- the routes and the requests do meet
    end)
end)
