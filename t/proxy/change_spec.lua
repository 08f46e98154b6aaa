--- Changes of servers at run time: what is read, what stands, and what open upstreams make of it.
local ffi = require "ffi"
local driver = require "t.proxy.driver"
local origin = require "t.support.origin"
local c = require "t.support.c"
c.header("proxy/change.h")
local lib = c.lib()

local GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
local function named(name)
    local text = ("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"):format(#name, name)
    return origin.start(function(script) script:serve(function() return text end) end)
end

local function read(line)
    local change, message = ffi.new("struct change"), ffi.new("char[384]")
    local slice = ffi.new("struct slice", { line, #line })
    local rc = lib.change_read(change, slice, message, 384)
    if rc < 0 then return nil, ffi.string(message) end
    return change
end

--- What stands after these lines.
local function standing(lines)
    local list, out = ffi.new("struct standings"), ffi.new("char[4096]")
    for line in lines:gmatch("[^\n]+") do assert(lib.standings_merge(list, (assert(read((line:gsub("^%s+", "")))))) == 0) end
    local text = {}
    for at = 0, list.count - 1 do text[#text + 1] = ffi.string(out, lib.standing_lines(list.list + at, out, 4096)) end
    lib.standings_fini(list)
    return table.concat(text)
end

describe("a change", function()
    for line, why in pairs {
        [""] = "expected list, config, add", ["ad api x:1"] = "expected list", ["add"] = "which upstream?", ["add api"] = "which server?",
        ["add api x"] = 'server "x": expected host:port', ["add api x:1 weight=0"] = "a weight is a number from 1 to 1000",
        ["weight api x:1"] = "a weight is a number", ["weight api x:1 1001"] = "a weight is a number", ["drain api x:1 now"] = "more words",
        ["drain api \1x:1"] = "which server?", ["drain a\tb x:1"] = "which upstream?", ["up " .. ("n"):rep(273) .. " x:1"] = "which upstream?", ["down api " .. ("x"):rep(272)] = "too long",
    } do
        it(("is refused as %q"):format(line:sub(1, 30)), function()
            local change, message = read(line)
            assert.is_nil(change)
            assert.matches(why, message, 1, true)
        end)
    end

    it("stands until it is taken back, the last word about each matter", function()
        assert.equal("drain api x:1\n", standing "drain api x:1")
        assert.equal("", standing "drain api x:1\nup api x:1")
        assert.equal("weight api x:1 3\ndown api x:1\n", standing "drain api x:1\nweight api x:1 9\ndown api x:1\nweight api x:1 3")
        assert.equal("add api x:1 weight=2 max=5 backup\n", standing "drain api x:1\nadd api x:1 weight=2 max=5 backup")
        assert.equal("remove api x:1\n", standing "add api x:1\nweight api x:1 3\nremove api x:1")
        assert.equal("add api _a._tcp.b weight=1 max=0 srv\n", standing "add api _a._tcp.b")
        assert.equal("drain api x:1\ndrain apj x:1\n", standing "drain api x:1\ndrain apj x:1")
    end)

    it("says of itself what makes it stand again", function()
        local lines = standing "add api x:1 weight=4\nweight api x:1 7\ndrain api x:1\nremove api y:2"
        assert.equal(lines, standing(lines))
    end)

    it("is kept for 1024 servers, and no more", function()
        local list = ffi.new("struct standings")
        for i = 1, 1024 do assert.equal(0, lib.standings_merge(list, (read("drain api x:" .. i)))) end
        assert.equal(-28, lib.standings_merge(list, (read "drain api x:1025")))
        assert.equal(0, lib.standings_merge(list, (read "up api x:7")))
        assert.equal(0, lib.standings_merge(list, (read "drain api x:1025")))
        lib.standings_fini(list)
    end)
end)

describe("an upstream that is changed", function()
    local d
    before_each(function() d = driver.new() end)
    after_each(function()
        driver.sweep()
        origin.sweep()
    end)

    local function change(line, blindly)
        local message = ffi.new("char[640]")
        local rc = lib.proxy_change(d.proxy, ffi.new("struct slice", { line, #line }), blindly and 1 or 0, message, 640)
        if rc < 0 then return nil, ffi.string(message) end
        return true
    end
    local function content(api) return d:run(d:begin(api, GET)).content end

    it("gets a server, which takes requests at once, and gives one up, whose connections are closed", function()
        local a, b = named "a", named "b"
        local api = d:open("api", a.address .. "\nbalance random")
        assert.equal("a", content(api))
        assert(change("add api " .. b.address))
        local seen = {}
        for _ = 1, 60 do seen[content(api)] = true end
        assert.same({ a = true, b = true }, seen)
        assert(change("remove api " .. a.address))
        for _ = 1, 20 do assert.equal("b", content(api)) end
        d:run(function() return d:facts().connections == 1 end)
        assert.same({ b.address }, d:labels(api))
    end)

    it("lets requests on a removed server end", function()
        local slow = origin.start(function(script)
            local client = script:accept()
            client:read_request()
            script:note "here"
            script:accept():close()
            client:send "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone"
        end)
        local b = named "b"
        local api = d:open("api", slow.address)
        local x = d:begin(api, GET)
        d:pass(20)
        slow:note_of(1)
        assert(change("add api " .. b.address))
        assert(change("remove api " .. slow.address))
        assert(require("socket").connect(slow.host, slow.port)):close()
        assert.equal("done", d:run(x).content)
    end)

    it("sends nothing to a server that is drained but what asks for it, and nothing at all to one that is down", function()
        local a, b = named "a", named "b"
        local api = d:open("api", a.address .. "\n" .. b.address .. "\nbalance random")
        assert(change("drain api " .. a.address))
        for _ = 1, 20 do assert.equal("b", content(api)) end
        assert.equal("a", d:run(d:begin(api, GET, { server = a.address })).content)
        assert(change("down api " .. a.address))
        assert.equal("b", d:run(d:begin(api, GET, { server = a.address })).content)
        assert(change("up api " .. a.address))
        local seen = {}
        for _ = 1, 60 do seen[content(api)] = true end
        assert.same({ a = true, b = true }, seen)
    end)

    it("holds a server that is added to the limit of all, unless it has one of its own", function()
        local api = d:open("api", "127.0.0.1:1 max=7\nconnections 7")
        assert(change "add api 127.0.0.1:2")
        assert(change "add api 127.0.0.1:3 max=9")
        assert.same({ 7, 7, 9 }, { d:server(api, 0).connections_max, d:server(api, 1).connections_max, d:server(api, 2).connections_max })
    end)

    it("has another weight", function()
        local api = d:open("api", "127.0.0.1:1\n127.0.0.1:2\nbalance round-robin")
        assert(change "weight api 127.0.0.1:2 9")
        assert.same({ 1, 9 }, { d:server(api, 0).weight, d:server(api, 1).weight })
        assert.equal(1, lib.proxy_server_next(d.proxy, api, 0, nil))
    end)

    it("keeps what was said when it is opened anew, with other options, and in another worker", function()
        local api = d:open("api", "127.0.0.1:1\n127.0.0.1:2")
        for _, line in ipairs { "add api 127.0.0.1:3 weight=5", "remove api 127.0.0.1:1", "drain api 127.0.0.1:2" } do assert(change(line)) end
        local again = d:open("api", "127.0.0.1:1\n127.0.0.1:2\nqueue 5")
        for _, one in ipairs { api, again } do
            assert.same({ "127.0.0.1:2", "127.0.0.1:3" }, d:labels(one))
            assert.equal(1, lib.proxy_server_next(d.proxy, one, 0, nil) - lib.proxy_server_next(d.proxy, one, 1, nil) > -9 and 1)
        end
        d:close()
        d = driver.new()
        for _, line in ipairs { "add api 127.0.0.1:3 weight=5", "remove api 127.0.0.1:1", "drain api 127.0.0.1:2" } do assert(change(line, true)) end
        local born = d:open("api", "127.0.0.1:1\n127.0.0.1:2")
        assert.same({ "127.0.0.1:2", "127.0.0.1:3" }, d:labels(born))
        local facts = d:server(born, lib.proxy_server_next(d.proxy, born, 0, nil))
        assert.equal("127.0.0.1:3", ffi.string(facts.label.at, facts.label.bytes))
    end)

    it("is told what it does not have, and what there is instead", function()
        d:open("api", "127.0.0.1:1\n127.0.0.1:2")
        assert.same({ nil, 'no upstream is named "apj"; there are: api' }, { change "drain apj 127.0.0.1:1" })
        assert.same({ nil, 'upstream "api" has no server 127.0.0.1:3; it has: 127.0.0.1:1, 127.0.0.1:2' }, { change "drain api 127.0.0.1:3" })
        assert(change "remove api 127.0.0.1:1")
        assert.same({ nil, '127.0.0.1:2 is the last server of upstream "api": add another one first' }, { change "remove api 127.0.0.1:2" })
        assert.same({ nil, 'upstream "api" has no server 127.0.0.1:1; it has: 127.0.0.1:2' }, { change "up api 127.0.0.1:1" })
    end)

    for slow_ms, least_and_most in pairs { [60000] = { 1, 45 }, [0] = { 110, 190 } } do
        it(("gets its newest server %s"):format(slow_ms > 0 and "slowly" or "with its whole weight at once"), function()
            local a, b = named "a", named "b"
            local api = d:open("api", a.address .. "\nbalance random\nslow_start_ms " .. slow_ms)
            assert.equal("a", content(api)) -- those that were there from the beginning have their whole weight
            assert(change("add api " .. b.address))
            local count = 0
            for _ = 1, 300 do count = count + (content(api) == "b" and 1 or 0) end
            assert.is_true(count >= least_and_most[1] and count <= least_and_most[2], count .. " of 300")
        end)
    end

    it("has at most 64 servers", function()
        local lines = {}
        for i = 1, 63 do lines[i] = "127.0.0.1:" .. i end
        d:open("api", table.concat(lines, "\n"))
        assert(change "add api 127.0.0.1:100")
        local ok, message = change "add api 127.0.0.1:101"
        assert.is_nil(ok)
        assert.matches("has 64 servers already", message)
        assert(change "remove api 127.0.0.1:7")
        assert(change "add api 127.0.0.1:7") -- its line is still there
    end)
end)
