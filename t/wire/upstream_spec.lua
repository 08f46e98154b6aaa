--- `moongate upstream` and the methods of an upstream, in the whole program: changes hold in all workers, after a reload and in workers that
--- are born later, and can be printed as the config that says the same.
local instance = require "t.support.instance"
local origin = require "t.support.origin"
local process = require "t.support.process"
local server = require "t.support.server"
local json = require "cjson"

local function named(name)
    local text = ("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"):format(#name, name)
    return origin.start(function(script) script:serve(function() return text end) end)
end

describe("an upstream at run time", function()
    local s, a, b, third
    before_each(function()
        instance.begin()
        server.binary = instance.real
        a, b, third = named "a", named "b", named "third"
        s = instance.start(([[
            local mg = require "moongate"
            local app = mg.app()
            local api = mg.upstream { name = "api", servers = { "A", { "B", weight = 2 } }, queue = 7, slow_start = "1s", max_connections = 40 }
            app:proxy("/*", api)
            app:get("/do/:verb", function(req)
                local ok, message, code = api[req.params.verb](api, req.query.server, tonumber(req.query.n))
                return 200, { ok = ok, message = message, code = code }
            end)
            app:get("/add", function(req) return tostring(api:add { req.query.server, weight = 3, backup = true }) end)
            return app]]):gsub("%f[%w]A%f[%W]", a.address):gsub("%f[%w]B%f[%W]", b.address), { workers = 2 })
    end)
    after_each(function()
        instance.sweep()
        origin.sweep()
    end)

    local function upstream(...)
        local code, out, err = instance.run { "upstream", ... }
        return code, out, err
    end

    --- Who answers so many requests, each on a connection of its own, so that all workers are asked.
    local function answers(times)
        local seen = {}
        for _ = 1, times or 24 do
            local body = s:get("/", { Connection = "close" }).body
            seen[body] = (seen[body] or 0) + 1
        end
        return seen
    end
    local function names_of(seen)
        local list = {}
        for name in pairs(seen) do list[#list + 1] = name end
        table.sort(list)
        return table.concat(list, " ")
    end

    it("is listed with its servers, their load and their state", function()
        answers()
        local code, out = upstream()
        assert.equal(0, code)
        assert.matches("^api  p2c, 0 in flight\n", out)
        assert.matches("\n  " .. a.address:gsub("%p", "%%%0") .. " +1 +0 +%d+ +%d+ +0 +[%d.]+ms  used\n", out)
        local list = json.decode((select(2, upstream("list", "api", "--json"))))
        assert.same({ 1, 2, "used", 2 }, { #list, #list[1].servers, list[1].servers[1].state, list[1].servers[2].weight })
        assert.equal(24, list[1].servers[1].requests + list[1].servers[2].requests)
    end)

    it("is changed in all workers at once, and prints as a config what was said", function()
        assert.same({ 0, ('upstream "api": %s is drained: no new requests go there (2 workers)\n'):format(b.address) }, { (upstream("drain", "api", b.address)),
            (select(2, upstream("drain", "api", b.address))) })
        assert.equal("a", names_of(answers()))
        assert.equal(0, (upstream("add", "api", third.address, "weight=5")))
        assert.equal("a third", names_of(answers(60)))
        assert.equal(0, (upstream("remove", "api", a.address)))
        assert.equal("third", names_of(answers()))
        local _, text = upstream("config", "api")
        assert.equal(([[
mg.upstream {
    name = "api",
    servers = {
        { "B", weight = 2 }, -- is drained
        { "THIRD", weight = 5 },
    },
    max_connections = 40,
    queue = 7,
    slow_start = "1s",
}
]]):gsub("B\"", b.address .. '"'):gsub("THIRD", third.address), text)
        assert(loadstring("local mg = { upstream = function(t) return t end } return " .. text))
    end)

    it("stays as it was said through a reload", function()
        upstream("down", "api", a.address)
        assert.equal(0, (instance.run { "reload" }))
        assert.equal("b", names_of(answers()))
        upstream("up", "api", a.address)
        assert.equal(0, (instance.run { "reload" }))
        assert.equal("a b", names_of(answers(60)))
    end)

    it("stays as it was said in a worker that is born later", function()
        upstream("remove", "api", a.address)
        local status = json.decode((select(2, instance.run { "status", "--json" })))
        local pid = status.workers[1].pid
        process.run({ "kill", "-9", tostring(pid) }, 5)
        instance.wait_until(function()
            local now = json.decode((select(2, instance.run { "status", "--json" })))
            return now.workers[1].pid ~= pid and now.workers[1].state == "serving"
        end)
        assert.equal("b", names_of(answers(40)))
    end)

    it("stays as it was said when another program takes over", function()
        upstream("remove", "api", a.address)
        upstream("drain", "api", b.address)
        upstream("add", "api", third.address, "weight=4")
        local _, before = upstream("config")
        local code, _, err = instance.run({ "upgrade" }, 20)
        assert.equal(0, code, err)
        instance.wait_until(function() return names_of(answers(12)) == "third" end)
        assert.equal(before, (select(2, upstream("config"))))
        assert.equal(0, (instance.run({ "stop" }, 20)))
    end)

    it("is changed by a script, in the other workers as well", function()
        assert.same({ ok = true }, json.decode(s:get("/do/drain?server=" .. a.address).body))
        instance.wait_until(function() return names_of(answers(12)) == "b" end)
        assert.equal("true", s:get("/add?server=" .. third.address).body)
        local list = json.decode((select(2, upstream("list", "--json"))))
        assert.equal(3, #list[1].servers)
        assert.equal(2, list[1].servers[3].workers)
        assert.same({ ok = true }, json.decode(s:get("/do/remove?server=" .. b.address).body))
        instance.wait_until(function() return names_of(answers(12)) == "third" end)
        assert.same({ ok = true }, json.decode(s:get("/do/up?server=" .. a.address).body))
        instance.wait_until(function() return names_of(answers(12)) == "a" end) -- the third is a spare
        assert.same({ ok = true }, json.decode(s:get("/do/weight?n=4&server=" .. a.address).body))
        local refused = json.decode(s:get("/do/drain?server=1.2.3.4:5").body)
        assert.same({ "not-found", true }, { refused.code, refused.message:find('upstream "api" has no server 1.2.3.4:5; it has: ', 1, true) == 1 })
    end)

    for words, why in pairs {
        ["drain api"] = "which server?", ["drain apj x:1"] = 'no upstream is named "apj"; there are: api', ["list apj"] = 'no upstream is named "apj"',
        ["config apj"] = 'no upstream is named "apj"', ["undo api x:1"] = "expected list, config, add", ["add api nowhere"] = "expected host:port",
        ["weight api x:1 0"] = "a weight is a number from 1 to 1000", ["down api 1.2.3.4:5"] = "has no server 1.2.3.4:5",
    } do
        it(("refuses %q and says why"):format(words), function()
            local list = {}
            for word in words:gmatch("%S+") do list[#list + 1] = word end
            local code, out, err = upstream(unpack(list))
            assert.same({ 1, "" }, { code, out })
            assert.matches(why, err, 1, true)
            assert.equal("a b", names_of(answers(60)))
        end)
    end

    it("is shown by status and by top", function()
        answers()
        assert.matches("\napi  p2c, 0 in flight\n  server ", (select(2, instance.run { "status" })))
        assert.matches("\napi  p2c, 0 in flight\n  server ", (select(2, instance.run { "top", "--once" })))
        local top = json.decode((select(2, instance.run { "top", "--once", "--json" })))
        assert.equal("api", top.upstreams[1].name)
    end)
end)
