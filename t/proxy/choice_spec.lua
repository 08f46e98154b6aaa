--- Which server a request gets, over real connections: limits and the queue behind them, keys, wishes, time aside.
local driver = require "t.proxy.driver"
local origin = require "t.support.origin"
local lib = require "t.support.c".lib()

local GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
local function ok(text) return ("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"):format(#text, text) end

--- An origin that answers with its own name.
local function named(name)
    return origin.start(function(script) script:serve(function() return ok(name) end) end)
end

--- An origin that answers when it is told to: `release(o)` makes it answer one request. Its notes are the targets it was asked for.
local function held()
    return origin.start(function(script)
        local client = script:accept()
        while true do
            script:note(client:read_request().target)
            script:accept():close()
            client:send(ok "held")
        end
    end)
end
local function release(o) assert(require "socket".connect(o.host, o.port)):close() end

describe("a choice of servers", function()
    local d
    before_each(function() d = driver.new() end)
    after_each(function()
        driver.sweep()
        origin.sweep()
    end)

    --- Turns until the origin has noted so many requests: its notes are no events of the engine.
    local function arrived(o, count)
        for _ = 1, 500 do
            if #o:noted() >= count then return end
            d:pass(2)
        end
        error("the origin was not asked in time")
    end
    local function open(lines) return assert(d:open("api", table.concat(lines, "\n"))) end
    local function get(target) return ("GET %s HTTP/1.1\r\nHost: a\r\n\r\n"):format(target or "/") end

    it("lets requests wait while all connections are in use, and go on in order", function()
        local o = held()
        local api = open { o.address .. " max=1" }
        local first, second, third = d:begin(api, get "/1"), d:begin(api, get "/2"), d:begin(api, get "/3")
        for at, x in ipairs { first, second, third } do
            local turn = at
            arrived(o, turn)
            assert.equal(1, d:server(api).in_flight)
            release(o)
            d:run(x)
            assert.equal("held", x.content)
        end
        assert.same({ "/1", "/2", "/3" }, o:noted())
        assert.equal(1, tonumber(d:facts().connects))
    end)

    it("answers 503 when as many wait as may, and not before", function()
        local o = held()
        local api = open { o.address .. " max=1", "queue 1" }
        local first, second, third = d:begin(api, GET), d:begin(api, GET), d:begin(api, GET)
        d:run(third)
        assert.same({ "failed", 503 }, { third.ended, third.status })
        assert.matches("all connections are in use %(max_connections%), and as many requests wait for one as may %(queue%)", third.sentence)
        assert.same({ nil, nil }, { first.ended, second.ended })
    end)

    it("answers 503 when no connection becomes free in time, and lets those go on that came later and found one", function()
        local o = held()
        local api = open { o.address .. " max=1", "queue_ms 60" }
        local first, second = d:begin(api, GET), d:begin(api, GET)
        d:run(second)
        assert.same({ "failed", 503 }, { second.ended, second.status })
        assert.matches("none became free within 60ms", second.sentence)
        assert.is_nil(first.ended)
    end)

    it("forgets one that waits and is given up, and none of the others", function()
        local o = held()
        local api = open { o.address .. " max=1" }
        local first, second, third = d:begin(api, get "/1"), d:begin(api, get "/2"), d:begin(api, get "/3")
        d:abort(second)
        arrived(o, 1)
        release(o)
        d:run(first)
        arrived(o, 2)
        release(o)
        d:run(third)
        assert.same({ "/1", "/3" }, o:noted())
    end)

    it("uses the other server before anybody waits", function()
        local o, other = held(), named "other"
        local api = open { o.address .. " max=1 weight=1000", other.address .. " max=1" }
        local x = {}
        for i = 1, 2 do x[i] = d:begin(api, GET) end
        d:run(function() return x[1].ended or x[2].ended end)
        assert.equal("other", (x[1].ended and x[1] or x[2]).content)
        assert.equal(0, d:facts().exchanges - 1)
    end)

    it("answers 503 beyond the requests that an upstream may have at once, and takes one more when one has ended", function()
        local o = held()
        local api = open { o.address, "requests 1" }
        local first, second = d:begin(api, GET), d:begin(api, GET)
        d:run(second)
        assert.same({ "failed", 503 }, { second.ended, second.status })
        assert.matches("as many requests run as may %(max_requests%)", second.sentence)
        arrived(o, 1)
        release(o)
        assert.equal("end", d:run(first).ended)
        assert.is_nil(d:begin(api, GET).ended)
    end)

    it("goes by what a request says of itself: the same cookie, the same server", function()
        local a, b, c = named "a", named "b", named "c"
        local api = open { a.address, b.address, c.address, "balance hash", "hash cookie id" }
        local function with(id) return "GET / HTTP/1.1\r\nHost: a\r\nCookie: x=1; id=" .. id .. "; y=2\r\n\r\n" end
        local homes, seen = {}, {}
        for i = 1, 30 do
            homes[i] = d:run(d:begin(api, with(i))).content
            seen[homes[i]] = true
        end
        assert.same({ a = true, b = true, c = true }, seen)
        for i = 1, 30 do assert.equal(homes[i], d:run(d:begin(api, with(i))).content) end
    end)

    for key, heads in pairs {
        client = { { GET, client = "10.0.0.1" }, { GET, client = "10.0.0.2" } },
        path = { { GET, path = "/a" }, { GET, path = "/b" } },
        target = { { "GET /x?1 HTTP/1.1\r\nHost: a\r\n\r\n" }, { "GET /x?2 HTTP/1.1\r\nHost: a\r\n\r\n" } },
        ["header X-User"] = { { "GET / HTTP/1.1\r\nHost: a\r\nx-user: 1\r\n\r\n" }, { "GET / HTTP/1.1\r\nHost: a\r\nx-user: 2\r\n\r\n" } },
    } do
        it("goes by the " .. key, function()
            local lines = { "balance hash", "hash " .. key }
            for i = 1, 64 do lines[#lines + 1] = "127.0.0.1:" .. i end
            local api = open(lines)
            local next_of = {}
            for i, head in ipairs(heads) do
                local request = d:request(head[1], head)
                next_of[i] = lib.proxy_server_next(d.proxy, api, 0, request)
                assert.equal(next_of[i], lib.proxy_server_next(d.proxy, api, 0, request))
            end
            assert.is_true(next_of[1] ~= next_of[2])
        end)
    end

    it("is the server that was asked for, as long as that can be used", function()
        local a, b = named "a", named "b"
        local api = open { a.address, b.address .. " weight=1000" }
        for _ = 1, 5 do assert.equal("a", d:run(d:begin(api, GET, { server = a.address })).content) end
        a:stop()
        assert.equal("b", d:run(d:begin(api, GET, { server = a.address })).content)
    end)

    it("leaves the spare ones alone until no other can be used", function()
        local a, b = named "a", named "b"
        local api = open { a.address, b.address .. " backup weight=1000" }
        for _ = 1, 10 do assert.equal("a", d:run(d:begin(api, GET)).content) end
        a:stop()
        for _ = 1, 5 do assert.equal("b", d:run(d:begin(api, GET)).content) end
    end)

    it("puts a server aside that fails one request after another, says so, and not one that fails some", function()
        local status = "500"
        local bad = origin.start(function(script)
            local count = 0
            local client = script:accept()
            while true do
                local target = client:read_request().target
                count = count + 1
                local code = target == "/fine" and "200" or status
                client:send(("HTTP/1.1 %s X\r\nContent-Length: 0\r\n\r\n"):format(code))
            end
        end)
        local good = named "good"
        local api = open { bad.address, good.address, "ejection_errors 3", "ejection_ms 60000", "panic 0" }
        local function ask(target) return d:run(d:begin(api, get(target), { server = bad.address })) end
        for _, target in ipairs { "/", "/", "/fine", "/", "/" } do ask(target) end
        assert.equal(0, #d:notices())
        ask "/"
        assert.equal(1, #d:notices())
        for _ = 1, 20 do assert.equal("good", d:run(d:begin(api, GET)).content) end
    end)

    it("lets those help that are aside for what they answered, when too few are healthy, but not those that cannot be connected to", function()
        local answers = { "HTTP/1.1 500 X\r\nContent-Length: 3\r\n\r\nbad" }
        local function bad() return origin.start(function(script) script:serve(function() return answers[1] end) end) end
        local a, b, dead, good = bad(), bad(), named "dead", named "good"
        for panic, helped in pairs { [50] = true, [25] = false } do
            local api = assert(d:open("api" .. panic, table.concat({ a.address, b.address, dead.address, good.address, "ejection_errors 1",
                "ejection_ms 60000", "balance random", "panic " .. panic }, "\n")))
            dead:stop()
            for _, o in ipairs { dead, a, b } do d:run(d:begin(api, GET, { server = o.address })) end
            local connects, seen = tonumber(d:facts().connects), {}
            for _ = 1, 80 do seen[d:run(d:begin(api, GET)).content] = true end
            assert.same({ good = true, bad = helped or nil }, seen)
            assert.is_true(tonumber(d:facts().connects) - connects <= 1) -- to the good one; the dead one was not asked again
        end
    end)

    it("uses all of them when too many are aside for what they answered, but not those that cannot be connected to", function()
        local function bad() return origin.start(function(script) script:serve(function() return "HTTP/1.1 500 X\r\nContent-Length: 3\r\n\r\nbad" end) end) end
        local a, b, dead = bad(), bad(), named "dead"
        local api = open { a.address, b.address, dead.address, "ejection_errors 1", "ejection_ms 60000", "panic 50" }
        dead:stop()
        d:run(d:begin(api, GET, { server = dead.address }))
        for _, o in ipairs { a, b } do d:run(d:begin(api, GET, { server = o.address })) end
        local connects = tonumber(d:facts().connects)
        for _ = 1, 20 do assert.equal(500, d:run(d:begin(api, GET)).status) end
        assert.equal(connects, tonumber(d:facts().connects)) -- the dead one was not asked again
    end)
end)
