--- Options of an upstream: what C is told of them, what is refused and why, and the config that says the same.
local upstream = require "moongate.upstream"
local upstream_text = require "moongate.upstream_text"

local function lines_of(options)
    options.servers = options.servers or "a:1"
    return upstream.new(options).lines
end

local function refused(text)
    local chunk = assert(loadstring("local mg = ... mg.upstream " .. text, "=site.lua"))
    local ok, message = pcall(chunk, { upstream = upstream.new })
    assert.is_false(ok, text)
    return message
end

describe("options of an upstream", function()
    it("are lines for C, and none for what is as it always is", function()
        assert.equal("a:1\n", lines_of {})
        assert.equal("a:1\n", lines_of { balance = "p2c" })
        for expected, options in pairs {
            ["a:1 weight=2 max=5 backup"] = { servers = { { "a:1", weight = 2, backup = true, max_connections = 5 } } },
            ["a:1 max=7\nb:2 max=3\nconnections 7"] = { servers = { "a:1", { "b:2", max_connections = 3 } }, max_connections = 7 },
            ["_http._tcp.api.example srv"] = { servers = "_http._tcp.api.example" },
            ["api.service srv"] = { servers = { { "api.service", srv = true } } },
            ["a:1\nbalance least-connections"] = { balance = "least-connections" },
            ["a:1\nbalance hash\nhash client"] = { balance = "hash" },
            ["a:1\nbalance hash\nhash cookie sid"] = { hash = "cookie sid" },
            ["a:1\nbalance hash\nhash given"] = { hash = function() end },
            ["a:1\nqueue 0\nqueue_ms 250\nrequests 9\nslow_start_ms 30000\npanic 0"] = { queue = 0, queue_time = "250ms", max_requests = 9, slow_start = "30s",
                panic = 0 },
            ["a:1\nresolver 10.0.0.53:53\nttl_min_ms 0\nttl_max_ms 60000"] = { resolver = "10.0.0.53:53", ttl_min = 0, ttl_max = "1m" },
            ["a:1\ncheck http\ncheck_path /health"] = { check = "/health" },
            ["a:1\ncheck tcp"] = { check = true },
            ["a:1\ncheck http\ncheck_path /h\ncheck_host api\ncheck_status 200-299\ncheck_body all well\ncheck_ms 1000\ncheck_timeout_ms 500\ncheck_rise 1\ncheck_fall 5"] =
                { check = { path = "/h", host = "api", status = "2xx", body = "all well", interval = "1s", timeout = "500ms", rise = 1, fall = 5 } },
            ["a:1\ncheck http\ncheck_status 204"] = { check = { status = 204 } },
            ["a:1\nejection_errors 0"] = { ejection = false },
            ["a:1\nejection_errors 3\nejection_ms 5000\nejection_max_ms 60000"] = { ejection = { errors = 3, time = "5s", most_time = "1m" } },
        } do
            assert.equal(expected .. "\n", lines_of(options))
        end
        assert.equal("a:1\n", lines_of { check = false })
    end)

    it("that make no sense are refused where they are written", function()
        for text, why in pairs {
            ["{ servers = 'a:1', hash = 'cookies x' }"] = 'did you mean "cookie NAME"?',
            ["{ servers = 'a:1', hash = 'header' }"] = 'did you mean "header NAME"?',
            ["{ servers = 'a:1', hash = 'client', balance = 'random' }"] = 'hash: balance is "random"',
            ["{ servers = 'a:1', check = 'health' }"] = 'a path such as "/health"',
            ["{ servers = 'a:1', check = { tcp = true, path = '/' } }"] = "tcp = true only connects",
            ["{ servers = 'a:1', check = { status = '6xx' } }"] = "check.status: expected a status",
            ["{ servers = 'a:1', check = { status = '300-200' } }"] = "check.status: expected a status",
            ["{ servers = 'a:1', check = { body = 'a\\nb' } }"] = "check.body: expected a text without control characters",
            ["{ servers = 'a:1', check = { intervall = '1s' } }"] = 'did you mean "interval"?',
            ["{ servers = 'a:1', queue = 65536 }"] = "queue: expected a whole number from 0 to 65535",
            ["{ servers = 'a:1', queue_time = 0 }"] = "queue_time: expected a duration",
            ["{ servers = 'a:1', max_requests = 0 }"] = "max_requests: expected a whole number from 1",
            ["{ servers = 'a:1', panic = 101 }"] = "panic: expected a whole number from 0 to 100",
            ["{ servers = 'a:1', resolver = 'dns' }"] = "resolver: expected the address of a name server",
            ["{ servers = 'a:1', ejection = true }"] = "ejection: expected false, got true",
            ["{ servers = '_http._tcp.a b' }"] = "the name of a service",
            ["{ servers = { { 'a:1', backup = 1 } } }"] = "servers[1].backup: expected true or false",
            ["{ servers = 'a:1', name = 'my api' }"] = "name: expected a name of at most 64",
            ["{ servers = 'a:1', max_connection = 1 }"] = 'did you mean "max_connections"?',
        } do
            local message = refused(text)
            assert.matches("^site.lua:1: mg.upstream: ", message)
            assert.is_truthy(message:find(why, 1, true), text .. ": " .. message)
        end
    end)

    it("can be written again as the call that makes the same", function()
        local api = upstream.new { name = "api", servers = { "a:1", { "b:2", weight = 3, backup = true } }, queue_time = "250ms", max_connections = 9,
            check = { path = "/h", interval = "1s", status = "2xx" }, ejection = false, timeout = { connect = "1s", total = "1m" },
            retry = { attempts = 2, body = "64k" }, hash = "header x-user" }
        local servers = {}
        for at, server in ipairs(api.servers) do
            servers[at] = { server = server.address, weight = server.weight, backup = server.backup, max_connections = 9 }
        end
        local text = upstream_text.config(api, servers)
        local again = assert(loadstring("local mg = ... return " .. text))({ upstream = upstream.new })
        assert.equal(api.lines, again.lines)
        assert.same({ api.timeout, api.retry, api.name }, { again.timeout, again.retry, again.name })
        assert.equal(text, upstream_text.config(again, servers))
    end)
end)
