--- Names of servers: asked of a scripted name server, without the engine ever waiting for it.
local dns = require "t.support.dns"
local driver = require "t.proxy.driver"
local origin = require "t.support.origin"
local server = require "t.support.server"
local lib = require "t.support.c".lib()

local GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
local function ok(text) return ("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"):format(#text, text) end

describe("a server that is named", function()
    local d, names
    before_each(function() d = driver.new() end)
    after_each(function()
        driver.sweep()
        dns.sweep()
        origin.sweep()
        server.sweep()
    end)

    local function open(text, more)
        return assert(d:open("api", text .. "\nresolver " .. names.address .. "\nttl_min_ms 20\n" .. (more or "")))
    end

    local function wait_for(api, labels)
        local so_far
        local found = pcall(d.run, d, function()
            so_far = d:labels(api)
            return table.concat(so_far, " ") == table.concat(labels, " ")
        end)
        assert.is_true(found, "it has " .. table.concat(so_far, " "))
    end

    it("has every address of its name, of both families", function()
        names = dns.start "api.test A 60 127.0.0.1\napi.test A 60 127.0.0.2\napi.test AAAA 60 ::1"
        wait_for(open "api.test:8080", { "api.test:8080 (127.0.0.1:8080)", "api.test:8080 (127.0.0.2:8080)", "api.test:8080 ([::1]:8080)" })
    end)

    it("is asked for before it is known, and the request waits for it", function()
        local o = origin.start(function(script) script:serve(function() return ok "here" end) end)
        names = dns.start "api.test A 60 127.0.0.1"
        local api = open("api.test:" .. o.port)
        local x = d:begin(api, GET)
        assert.is_nil(x.ended)
        assert.same({ "end", 200, "here" }, { d:run(x).ended, x.status, x.content })
    end)

    it("that cannot be found is no reason not to open, and its requests are told why", function()
        names = dns.start ""
        local api = open "api.test:80"
        local x = d:run(d:begin(api, GET))
        assert.same({ "failed", 503, 'upstream "api": no server can be used: the name of none of them can be found' }, { x.ended, x.status, x.sentence })
        assert.matches("the name api.test cannot be found: .*; its servers are left out until it is found", d:notices()[1])
    end)

    it("moves with its name when the answer's time is over, and keeps the connections that stay", function()
        local o = origin.start(function(script) script:serve(function() return ok "x" end) end)
        names = dns.start "api.test A 0 127.0.0.1"
        local api = open("api.test:" .. o.port, "ttl_max_ms 30\n")
        d:run(d:begin(api, GET))
        names:zone "api.test A 0 127.0.0.1\napi.test A 0 127.0.0.9"
        wait_for(api, { ("api.test:%d (127.0.0.1:%d)"):format(o.port, o.port), ("api.test:%d (127.0.0.9:%d)"):format(o.port, o.port) })
        assert.equal(1, d:server(api, 0).idle)
        names:zone "api.test A 0 127.0.0.9"
        wait_for(api, { ("api.test:%d (127.0.0.9:%d)"):format(o.port, o.port) })
        d:run(function() return d:facts().connections == 0 end)
    end)

    it("keeps its last addresses while its name cannot be found, and says so once", function()
        names = dns.start "api.test A 0 127.0.0.1"
        local api = open("api.test:80", "ttl_max_ms 20\n")
        wait_for(api, { "api.test:80 (127.0.0.1:80)" })
        names:zone "api.test FAIL 0 -"
        d:run(function() return #d:notices() > 0 end)
        assert.same({ "api.test:80 (127.0.0.1:80)" }, d:labels(api))
        names:zone "api.test A 0 127.0.0.3"
        wait_for(api, { "api.test:80 (127.0.0.3:80)" })
        assert.same({ "the name api.test can be found again" }, d:notices())
    end)

    it("follows the time of the answer: not asked again before it is over", function()
        names = dns.start "api.test A 60 127.0.0.1"
        wait_for(open "api.test:80", { "api.test:80 (127.0.0.1:80)" })
        local _, asked = names:asked():gsub("A api.test", "")
        d:pass(150)
        assert.same({ asked, 2 }, { select(2, names:asked():gsub("A api.test", "")), asked })
    end)

    it("is found over TCP when the answer is too long for a datagram", function()
        names = dns.start "api.test A 60 127.0.0.1\napi.test CUT 0 -"
        wait_for(open "api.test:80", { "api.test:80 (127.0.0.1:80)" })
        assert.matches("A api.test tcp", names:asked())
    end)

    it("does not keep anybody waiting while the name server is silent", function()
        local o = origin.start(function(script) script:serve(function() return ok "quick" end) end)
        names = dns.start "api.test SILENT 0 -"
        local api = open("api.test:80\n" .. o.address)
        assert.equal("quick", d:run(d:begin(api, GET)).content)
    end)

    it("gives up a request when the name is not known in time", function()
        names = dns.start "api.test SILENT 0 -"
        local x = d:run(d:begin(open("api.test:80", "queue_ms 50\n"), GET))
        assert.equal(503, x.status)
        assert.matches("no server is known yet, and none was within 50ms", x.sentence)
    end)

    it("is found in /etc/hosts without asking", function()
        names = dns.start ""
        local api = open "localhost:80"
        d:run(function() return #d:labels(api) > 0 end)
        assert.matches("^localhost:80 %(127.0.0.1:80%)", d:labels(api)[1])
        assert.equal("", names:asked())
    end)

    it("is known at once to an upstream that is opened later, as after a reload", function()
        names = dns.start "api.test A 60 127.0.0.1"
        wait_for(open "api.test:80", { "api.test:80 (127.0.0.1:80)" })
        assert.same({ "api.test:80 (127.0.0.1:80)" }, d:labels(open("api.test:80 weight=2")))
    end)

    it("is not asked for any more when nobody has it", function()
        names = dns.start "api.test A 0 127.0.0.1"
        local api = open("api.test:80", "ttl_max_ms 20\n")
        wait_for(api, { "api.test:80 (127.0.0.1:80)" })
        lib.proxy_upstream_close(d.proxy, api)
        d:pass(60)
        local before = #names:asked()
        d:pass(100)
        assert.equal(before, #names:asked())
    end)

    it("may be closed while it is asked for", function()
        names = dns.start "api.test SILENT 0 -"
        lib.proxy_upstream_close(d.proxy, (open "api.test:80"))
        d:pass(20)
        open "api.test:80" -- and the room is freed meanwhile
    end)

    it("of a service has the service's ports, weights and spares", function()
        names = dns.start [[
            _http._tcp.api.test SRV 60 10 60 8001 one.test
            _http._tcp.api.test SRV 60 10 30 8002 two.test
            _http._tcp.api.test SRV 60 20 1 8003 three.test
            one.test A 60 127.0.0.1
            two.test A 60 127.0.0.2
            three.test A 60 127.0.0.3]]
        local api = open "_http._tcp.api.test"
        local prefix = "_http._tcp.api.test "
        wait_for(api, { prefix .. "(127.0.0.1:8001)", prefix .. "(127.0.0.2:8002)", prefix .. "(127.0.0.3:8003)" })
        local weights = {}
        for at = 0, 2 do weights[at + 1] = ("%d %d"):format(d:server(api, at).weight, d:server(api, at).backup) end
        table.sort(weights)
        assert.same({ "1 1", "30 0", "60 0" }, weights)
        for _ = 1, 20 do assert.is_true(d:server(api, lib.proxy_server_next(d.proxy, api, 0, nil)).backup == 0) end
    end)

    it("of a service that is named plainly is one when the config says so", function()
        names = dns.start "api.service A 60 127.0.0.7\napi.service SRV 60 1 1 9000 api.service"
        wait_for(open "api.service srv", { "api.service (127.0.0.7:9000)" })
    end)

    it("of a service without servers is told from a name that is not known", function()
        names = dns.start "_x._tcp.test A 60 127.0.0.1"
        local api = open "_x._tcp.test"
        d:run(d:begin(api, GET))
        assert.matches("the name _x._tcp.test cannot be found", d:notices()[1])
    end)

    it("is asked of the system's own name servers unless the config names others, and changes of them do no harm", function()
        local api = assert(d:open("api", "localhost:80\nttl_min_ms 1\nttl_max_ms 5"))
        d:run(function() return #d:labels(api) > 0 end)
        d:pass(50)
        assert.is_true(#d:labels(api) > 0)
    end)
end)
