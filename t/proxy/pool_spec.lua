local driver = require "t.proxy.driver"
local origin = require "t.support.origin"
local lib = require "t.support.c".lib()

local GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

describe("an upstream", function()
    local d
    before_each(function() d = driver.new() end)
    after_each(function()
        driver.sweep()
        origin.sweep()
    end)

    it("has the servers of its list, with weights", function()
        local api = d:open("api", "127.0.0.1:1 3\n\n[::1]:2\nunix:/tmp/x 1000\n")
        local seen = {}
        for i = 0, 2 do
            local facts = d:server(api, i)
            seen[#seen + 1] = require "ffi".string(facts.label.at, facts.label.bytes) .. " " .. facts.weight
        end
        assert.same({ "127.0.0.1:1 3", "[::1]:2 1", "unix:/tmp/x 1000" }, seen)
        assert.same({ nil, -2 }, { d:server(api, 3) })
    end)

    for servers, why in pairs {
        [""] = 'upstream "api": expected at least one server',
        ["\n\n"] = 'upstream "api": expected at least one server',
        ["127.0.0.1:1\nnowhere"] = 'upstream "api": server "nowhere": expected host:port, [v6]:port or unix:/path',
        ["127.0.0.1:1 0"] = 'upstream "api": server "127.0.0.1:1 0": a weight is a number from 1 to 1000',
        ["127.0.0.1:1 1001"] = 'upstream "api": server "127.0.0.1:1 1001": a weight is a number from 1 to 1000',
        ["127.0.0.1:1 -1"] = 'upstream "api": server "127.0.0.1:1 -1": a weight is a number from 1 to 1000',
        ["127.0.0.1:1 99999999999"] = 'upstream "api": server "127.0.0.1:1 99999999999": a weight is a number from 1 to 1000',
    } do
        it(("refuses the list %q and says why"):format(servers), function()
            assert.same({ nil, why, -22 }, { d:open("api", servers) })
            assert.equal(0, d:facts().upstreams)
        end)
    end

    it("has at most 64 servers", function()
        local lines = {}
        for i = 1, 64 do lines[i] = "127.0.0.1:" .. i end
        assert.is_number(d:open("api", table.concat(lines, "\n")))
        lines[65] = "127.0.0.1:65"
        local _, message = d:open("more", table.concat(lines, "\n"))
        assert.matches("at most 64 servers", message)
    end)

    it("is one of at most 256", function()
        for i = 1, 256 do assert.is_number(d:open("u" .. i, "127.0.0.1:80")) end
        local _, message, code = d:open("one more", "127.0.0.1:80")
        assert.equal(-28, code)
        assert.matches("256 upstreams already", message)
        lib.proxy_upstream_close(d.proxy, 100)
        assert.equal(100, d:open("one more", "127.0.0.1:80"))
    end)

    it("is the same one when it is opened again unchanged, so that a reload keeps its connections", function()
        local o = origin.start(function(script) script:serve(function() return "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" end) end)
        local old = d:open("api", o.address)
        d:run(d:begin(old, GET))
        local new = d:open("api", o.address)
        lib.proxy_upstream_close(d.proxy, old)
        assert.same({ old, 1, 1 }, { new, d:server(new).idle, d:facts().upstreams })
        d:run(d:begin(new, GET))
        assert.equal(1, tonumber(d:facts().connects))
    end)

    it("is another one when anything of it is another, and shares the servers that are the same", function()
        local o = origin.start(function(script) script:serve(function() return "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" end) end)
        local api = d:open("api", o.address)
        d:run(d:begin(api, GET))
        local heavy = d:open("api", o.address .. " weight=2\n127.0.0.1:1 backup")
        assert.is_true(heavy ~= api)
        assert.same({ 1, 2 }, { d:server(heavy).idle, d:server(heavy).weight })
        lib.proxy_upstream_close(d.proxy, api)
        d:run(d:begin(heavy, GET))
        assert.same({ 1, 1 }, { tonumber(d:facts().connects), d:server(heavy).idle })
        local other = d:open("apj", o.address)
        assert.same({ true, 0 }, { other ~= heavy, d:server(other).idle })
    end)

    it("is no other one for a server that is listed twice", function()
        local api = d:open("api", "127.0.0.1:1\n127.0.0.1:1")
        assert.is_truthy(d:server(api, 0))
        assert.is_nil(d:server(api, 1))
    end)

    it("closes what it kept when it is closed, and lets a request in flight end", function()
        local o = origin.start(function(script)
            local client = script:accept()
            client:read_request()
            client:send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na")
            script:accept():close() -- when the spec says so
            client:send("b")
            client:expect_close(true)
        end)
        local api = d:open("api", o.address)
        local x = d:begin(api, GET)
        d:run(function() return x.pieces > 0 end)
        lib.proxy_upstream_close(d.proxy, api)
        assert.same({ nil, -2 }, { d:begin(api, GET) })
        assert(require "socket".connect(o.host, o.port)):close()
        assert.same({ "end", "ab" }, { d:run(x).ended, x.content })
        assert.equal(0, d:facts().idle)
        d:run(function() return d:facts().connections == 0 end)

        local second = origin.start(function(script) script:serve(function() return "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" end) end)
        local other = d:open("other", second.address)
        d:run(d:begin(other, GET))
        assert.equal(1, d:facts().idle)
        lib.proxy_upstream_close(d.proxy, other)
        d:run(function() return d:facts().connections == 0 end)
        assert.same({ 0, 0 }, { d:facts().idle, d:facts().upstreams })
    end)
end)
