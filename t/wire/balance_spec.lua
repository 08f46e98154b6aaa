--- Choices of servers in the whole program: by a function of the request, by names that are asked for, and as explain says it.
local dns = require "t.support.dns"
local origin = require "t.support.origin"
local server = require "t.support.server"
local instance = require "t.support.instance"
local json = require "cjson"

local function named(name)
    local text = ("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"):format(#name, name)
    return origin.start(function(script) script:serve(function() return text end) end)
end

describe("servers of an upstream", function()
    before_each(function()
        instance.begin()
        server.binary = instance.real
    end)
    after_each(function()
        instance.sweep()
        origin.sweep()
        dns.sweep()
    end)

    local function start(script, origins, more)
        local addresses = {}
        for i, o in ipairs(origins) do addresses[i] = ("%q"):format(o.address) end
        local text = ([[
            local mg = require "moongate"
            local app = mg.app()
            %s
            return app]]):format(script:gsub("SERVERS", table.concat(addresses, ", ")))
        return instance.start(text, more or {})
    end

    it("are chosen by what a function says of the request, in each worker alike", function()
        local s = start([[app:proxy("/*", mg.upstream { name = "api", servers = { SERVERS },
            hash = function(req) return req.query.user end })]], { named "a", named "b", named "c" }, { workers = 2 })
        local homes, seen = {}, {}
        for user = 1, 60 do -- that none of three servers is anybody's home is as good as impossible
            for _ = 1, 3 do
                local body = s:get("/?user=" .. user, { Connection = "close" }).body
                homes[user] = homes[user] or body
                assert.equal(homes[user], body)
                seen[body] = true
            end
        end
        assert.same({ a = true, b = true, c = true }, seen)
        for user = 1, 12 do -- and explain says the same
            local _, out = instance.run { "explain", "GET", "/?user=" .. user, "--json" }
            local first = json.decode(out).upstream.servers[1].address
            local _, listed = instance.run { "upstream", "--json" }
            assert.is_truthy(listed:find(first, 1, true))
            homes[homes[user]] = homes[homes[user]] or first
            assert.equal(homes[homes[user]], first)
        end
    end)

    it("whose function fails answer 500 for that request alone", function()
        local s = start([[app:proxy("/*", mg.upstream { name = "api", servers = { SERVERS }, hash = function(req) return {} end })]], { named "a" })
        assert.equal(500, s:get("/").status)
        assert.matches('the hash of upstream "api" gave a table: expected a string, or nil', s:wait_log("the hash of[^\n]*"))
    end)

    for balance, first in pairs { ["round-robin"] = "is next", p2c = "has the least to do", ["least-connections"] = "has the least to do",
                                  random = "has the greatest weight" } do
        it("are explained in their order: " .. balance, function()
            local spare = named "spare"
            local s = start(([[app:proxy("/*", mg.upstream { name = "api", balance = %q, servers = { { %q, backup = true }, { SERVERS, weight = 3 } } })]]):format(
                balance, spare.address), { named "a" })
            local _, out = instance.run { "explain", "GET", "/" }
            assert.matches('"api"  1%. 127%.0%.0%.1:%d+ +' .. first, out)
            assert.is_truthy(out:match("2%. (%S+)") == spare.address, out)
            assert.matches("balance +" .. balance:gsub("%-", "%%-"), out)
            assert.equal("a", s:get("/").body)
        end)
    end

    it("are found by their name, and move with it without a reload", function()
        local a = named "a"
        local names = dns.start "api.test A 0 127.0.0.1"
        local s = instance.start(([[
            local mg = require "moongate"
            local app = mg.app()
            app:proxy("/*", mg.upstream { name = "api", servers = "api.test:%d", resolver = %q, ttl_min = "20ms", ttl_max = "50ms" })
            return app]]):format(a.port, names.address), { workers = 2 })
        assert.equal("a", s:get("/").body)
        names:zone "api.test A 0 127.0.0.9"
        instance.wait_until(function() return s:get("/", { Connection = "close" }).status == 502 end)
        names:zone "api.test FAIL 0 -"
        s:wait_log "the name api.test cannot be found: [^\n]*; its last addresses stay in use"
        names:zone "api.test A 0 127.0.0.1"
        instance.wait_until(function() return s:get("/", { Connection = "close" }).status == 200 end)
    end)

    it("whose name nobody knows do not keep a site from starting, nor others from answering", function()
        local names = dns.start ""
        local s = start(("app:proxy('/known/*', { SERVERS }) app:proxy('/*', mg.upstream { name = 'api', servers = 'no.test:80', resolver = %q })"):format(
            names.address), { named "a" })
        assert.equal("a", s:get("/known/x").body)
        local response = s:get("/")
        assert.equal(503, response.status)
        s:wait_log 'upstream "api": no server can be used: the name of none of them can be found'
        names:zone "no.test A 60 127.0.0.1"
        assert.matches("no.test:80 +%- +.*no address: ", (select(2, instance.run { "upstream", "list", "api" })))
    end)
end)
