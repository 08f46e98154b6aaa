--- A new program takes over a running instance: nobody is refused, nothing in flight is lost, and one that does not start changes nothing.
local http_text = require "t.support.http_text"
local process = require "t.support.process"
local server = require "t.support.server"
local signal = require "posix.signal"
local steady = require "t.support.steady"
local json = require "cjson"

after_each(server.sweep)

local SITE = [[
local mg = require "moongate"
local app = mg.app()
app:get("/", function() return "hello" end)
app:get("/slow/:ms", function(req) mg.sleep(req.params.ms .. "ms") return "slow" end)
app:get("/stream", function()
    return mg.stream(function(out) for n = 1, 40 do out:write(n .. ",") mg.sleep("10ms") end end)
end)
]]

local function start(text, options)
    local all = { script = SITE .. (text or "return app"), workers = 2 }
    for key, value in pairs(options or {}) do all[key] = value end
    local s = server.start(all)
    server.expect_successor(s.name)
    return s
end

local function status(s)
    local code, out, err = server.run { "status", "--json", "--name", s.name }
    assert.equal(0, code, err)
    return json.decode(out)
end

local function upgrade(s) return server.run({ "upgrade", "--name", s.name }, 20) end

--- Until that process has ended.
local function wait_gone(pid, seconds)
    local limit = process.now() + seconds
    while process.exists(pid) and process.now() < limit do require("socket").select(nil, nil, 0.01) end
    assert.is_false(process.exists(pid), "the master before is still there")
end

describe("an upgrade", function()
    it("hands the instance over under full load: no client notices", function()
        local s = start()
        local load = steady.start(s.port, 64)
        local before
        for _ = 1, 5 do
            before = status(s).pid
            local code, out, err = upgrade(s)
            assert.equal(0, code, err)
            assert.matches("upgraded to %S+: pid %d+ serves, after ", out)
            assert.not_equal(before, status(s).pid)
        end
        local counts = load:finish()
        assert.same({ errors = 0, refused = 0, silent = 0, odd = 0 },
            { errors = counts.errors, refused = counts.refused, silent = counts.silent, odd = counts.odd })
        assert.is_true(counts.answers > 1000 and counts.closed > 0)
        assert.equal(counts.answers, counts.bodies.hello)
        wait_gone(before, 8)
    end)

    it("lets what is in flight finish on the program before", function()
        local s = start()
        local slow, stream, idle, half = s:connect(), s:connect(), s:connect(), s:connect()
        slow:send(http_text.request("GET", "/slow/600"))
        stream:send(http_text.request("GET", "/stream"))
        assert.equal(200, stream:read_head().status)
        assert.equal("hello", idle:get("/").body)
        half:send("GET / HTTP/1.1\r\nHo")
        local before = status(s).pid
        assert.equal(0, (upgrade(s)))
        assert.equal("hello", idle:get("/").body) -- it may ask once more, and is told that this is the last time
        idle:expect_close(true)
        half:send("st: a\r\n\r\n")
        assert.equal("close", half:read():get("connection"))
        assert.equal("slow", slow:read().body)
        assert.matches("40,", stream:read_to_end())
        wait_gone(before, 8)
    end)

    it("that does not come to serve changes nothing, and says why", function()
        local s = start()
        local pid = status(s).pid
        process.write_file(s.file, SITE .. "return ap")
        local code, out, err = upgrade(s)
        assert.equal(1, code, out)
        assert.matches("the new program ended with exit code 1 before it served; nothing has changed: pid " .. pid .. " serves on", err)
        assert.matches("app%.lua", err)
        assert.equal(pid, status(s).pid)
        assert.equal("hello", s:get("/").body)
        process.write_file(s.file, SITE .. "return app")
        assert.equal(0, (upgrade(s)))
        assert.equal("hello", s:get("/").body)
    end)

    it("is asked for by SIGUSR2 as well, keeps the number of the generation going, and is followed by reloads as ever", function()
        local s = start()
        assert.equal(0, (server.run { "reload", "--name", s.name }))
        s:signal(signal.SIGUSR2)
        s:wait_log("upgraded to")
        local told = status(s)
        assert.equal(3, told.generation)
        local code, out, err = server.run { "reload", "--name", s.name }
        assert.equal(0, code, err)
        assert.matches("^generation 4 in 2 workers", out)
    end)

    it("leaves no connection in a socket that nobody looks at", function()
        local s = start()
        for _ = 1, 12 do
            assert.equal(0, (upgrade(s)))
            for _ = 1, 4 do assert.equal("hello", s:get("/").body) end
        end
    end)

    it("keeps unix sockets and free ports where they are", function()
        local folder = server.folder()
        local s = start(("return { app = app, listen = { '127.0.0.1:0', 'unix:%s/sock' } }"):format(folder), { listen = {} })
        assert.equal(0, (upgrade(s)))
        assert.equal("hello", s:get("/").body)
        local wire = require "t.support.wire"
        assert.equal("hello", wire.connect("unix:" .. folder .. "/sock"):get("/").body)
        assert.equal(0, (server.run { "stop", "--name", s.name }))
        assert.is_nil(io.open(folder .. "/sock"))
    end)

    it("is not crossed by a reload: one that is asked for meanwhile waits for its end", function()
        local s = start()
        local slow = SITE .. 'app:on_start(function() mg.sleep("400ms") end)\n'
        process.write_file(s.file, slow .. "app:get('/broken', function() end)\nreturn ap")
        s:signal(signal.SIGUSR2)
        s:signal(signal.SIGHUP)
        s:wait_log("nothing has changed: generation 1 serves on")
        local log = s:log()
        assert.is_true(log:find("upgrade: the new program ended", 1, true) < log:find("generation 1 serves on", 1, true))
        process.write_file(s.file, slow .. "return app")
        s:signal(signal.SIGUSR2)
        s:wait_log("upgrade: starting .* upgrade: starting ")
        s:signal(signal.SIGHUP)
        s:wait_log("upgraded to")
        assert.is_nil(s:log():find("generation 2 in", 1, true))
        assert.equal("hello", s:get("/").body)
    end)
end)
