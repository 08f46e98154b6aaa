--- Live reload from the outside: what is in flight goes on as it began, what comes later is new, nothing is dropped and nothing is left.
local reloads = require "t.support.reloads"
local process = require "t.support.process"
local server = require "t.support.server"
local signal = require "posix.signal"

--- A site that says its version everywhere.
local function site(version)
    local text = ([==[
local V = "@V@"
app:extend_request("era", function() return "extended " .. V end)
app:on_error("internal-error", function(req, err) return 500, "handled by " .. V .. ": " .. req.path end)
app:get("/say", function() return V end)
app:get("/slow/:name@V@", function(req)
    note("slow " .. V)
    flag "go"
    return V .. " " .. req.params.name@V@ .. " " .. req.era
end)
app:post("/fail", function(req)
    req:text()
    error("broken in " .. V)
end)
app:get("/stream", function(req)
    return mg.stream(function(out)
        out:write(V .. " first;")
        flag "go"
        out:write(V .. " last")
    end)
end)
app:get("/done", function(req)
    req:on_done(function() note("done " .. V) end)
    flag "go"
    return V
end)
]==]):gsub("@V@", version)
    return text
end

describe("a live reload", function()
    local r
    before_each(reloads.begin)
    after_each(reloads.sweep)

    it("serves the new site at once, on connections that are open as on new ones", function()
        r = reloads.start(site "one", { workers = 2 })
        local kept = {}
        for at = 1, 20 do
            kept[at] = r.server:connect()
            assert.equal("one", kept[at]:get("/say").body)
        end
        local workers = r.server:workers()
        assert.matches("^generation 2 in 2 workers, %d routes changed, %d+ ms\n$", r:reload(site "two"))
        for at = 1, 20 do assert.equal("two", kept[at]:get("/say").body) end
        assert.equal("two", r:get("/say").body)
        assert.same(workers, r.server:workers())
        r.server:stop()
    end)

    it("lets requests in flight end on the code that they began with: captures, extensions, streams, hooks", function()
        r = reloads.start(site "one")
        local slow, stream, done = r.server:connect(), r.server:connect(), r.server:connect()
        slow:send("GET /slow/x%41y HTTP/1.1\r\nHost: a\r\n\r\n")
        stream:send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
        done:send("GET /done HTTP/1.1\r\nHost: a\r\n\r\n")
        stream:read_head()
        assert.equal("one first;", stream:read_chunk())
        r:wait_note "slow one"
        r:reload(site "two")
        r:reload(site "three")
        assert.equal("three", r:get("/say").body)
        r:raise "go"
        assert.equal("one xAy extended one", slow:read().body)
        assert.equal("one last", stream:read_chunk())
        assert.equal("one", done:read().body)
        r:wait_note "done one"
        assert.equal("three zz extended three", slow:get("/slow/zz").body)
        r:wait_alone()
        r.server:stop()
    end)

    it("answers the errors of old requests with the old handlers", function()
        r = reloads.start(site "one")
        local c = r.server:connect()
        c:send("POST /fail HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert.equal(100, c:read().status)
        local left = r.server:connect() -- and one whose client leaves in the middle
        left:send("POST /fail HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert.equal(100, left:read().status)
        r:reload(site "two")
        left:close()
        c:send("ok")
        assert.equal("handled by one: /fail", c:read().body)
        assert.equal("handled by two: /fail", c:post("/fail", "ok").body)
        r:wait_alone()
        assert.matches("broken in one", r.server:stop())
    end)

    it("keeps the order of pipelined answers across generations", function()
        r = reloads.start(site "one")
        local c = r.server:connect()
        c:send("GET /slow/a HTTP/1.1\r\nHost: a\r\n\r\nGET /say HTTP/1.1\r\nHost: a\r\n\r\n")
        r:wait_note "slow one"
        r:reload(site "two")
        c:send("GET /say HTTP/1.1\r\nHost: a\r\n\r\n")
        r:raise "go"
        assert.equal("one a extended one", c:read().body)
        assert.equal("one", c:read().body)
        assert.equal("two", c:read().body)
        r.server:stop()
    end)

    it("matches a request anew among the routes that it was matched with", function()
        local function predicates(version)
            local text = ([==[
app:get("/p/:id", { when = function() note "asked" flag "go" return false end }, function() return "never" end)
app:get("/p/*rest", function(req) return "@V@ " .. req.params.rest end)
]==]):gsub("@V@", version)
            return text
        end
        r = reloads.start(predicates "one")
        local c = r.server:connect()
        c:send("GET /p/x HTTP/1.1\r\nHost: a\r\n\r\n")
        r:wait_note "asked"
        local others = {}
        for at = 1, 30 do others[at] = ("app:get('/p/%d', function() return 'other' end)\n"):format(at) end
        r:reload(table.concat(others) .. "app:get('/p/:only', function() return 'two' end)")
        r:raise "go"
        assert.equal("one x", c:read().body)
        assert.equal("two", c:get("/p/x").body)
        r.server:stop()
    end)

    it("ends the background tasks of the old generation and begins those of the new", function()
        local function tasks(version)
            local text = ([==[
mg.every("1ms", function() note "every @V@" end)
app:on_start(function() mg.spawn(function() while true do mg.sleep("1ms") note "spawned @V@" end end) end)
app:get("/after", function() mg.after("1ms", function() note "after @V@" end) return "@V@" end)
]==]):gsub("@V@", version)
            return text
        end
        r = reloads.start(tasks "one")
        r:wait_note "every one"
        r:wait_note "spawned one"
        r:reload(tasks "two")
        r:wait_alone()
        local before = #r:notes()
        r:get("/after")
        for _, line in ipairs { "every two", "spawned two", "after two" } do r:wait_note(line) end
        local notes = r:notes()
        for at = before + 1, #notes do assert.matches("two$", notes[at]) end
        assert.equal(2, r:generations()[1].tasks)
        r.server:stop()
    end)

    it("runs the hooks in order: start of the new, then, after the last old request, stop of the old", function()
        local function hooks(version)
            local text = ([==[
app:on_start(function() mg.sleep("2ms") note "start @V@" end)
app:on_start(function() note "once @V@" end, { once = true })
app:on_stop(function() mg.sleep("2ms") note "stop @V@" end)
app:get("/slow", function() note "slow @V@" flag "go" note "answered @V@" return "@V@" end)
]==]):gsub("@V@", version)
            return text
        end
        r = reloads.start(hooks "one")
        local c = r.server:connect()
        c:send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        r:wait_note "slow one"
        r:reload(hooks "two")
        assert.same({ "start one", "once one", "slow one", "start two" }, r:notes())
        r:raise "go"
        assert.equal("one", c:read().body)
        r:wait_note "stop one"
        r.server:stop()
        assert.same({ "start one", "once one", "slow one", "start two", "answered one", "stop one", "stop two" }, r:notes())
    end)

    it("changes nothing when a start hook of the new generation fails, and runs its stop hooks where they started", function()
        r = reloads.start(site "one", { workers = 2 })
        r:write(site "two" .. "app:on_start(function() mg.sleep('2ms') error('no database') end)\napp:on_stop(function() note 'stopped two' end)")
        local code, out, err = r:try()
        assert.same({ 1, "" }, { code, out })
        assert.matches("site%.lua:%d+: no database", err)
        assert.matches("nothing has changed: generation 1 serves on\n$", err)
        for _ = 1, 10 do assert.equal("one", r:get("/say").body) end
        r:reload(site "three")
        assert.equal("three", r:get("/say").body)
        r:wait_alone()
        assert.same({}, r:notes())
        r.server:stop()
    end)

    it("runs the stop hooks of what never served when one of its start hooks had run", function()
        r = reloads.start(site "one")
        local opens = "app:on_start(function() note 'opened' end)\napp:on_stop(function() note 'closed' end)\n"
        r:write(opens .. "app:on_start(function() error 'the second' end)")
        assert.equal(1, (r:try()))
        r:wait_note "closed"
        assert.same({ "opened", "closed" }, r:notes())
        r:write(opens .. "app:on_start(function() note 'waits' flag 'never' end)")
        local asked = r:ask_reload()
        r:wait_note "waits"
        r.server:stop()
        asked(true)
        assert.same({ "opened", "closed", "opened", "waits", "closed" }, r:notes())
    end)

    it("abandons what was prepared in one worker when another cannot, and runs its stop hooks", function()
        r = reloads.start(site "one", { workers = 2 })
        r:write(site "two" .. [==[
app:on_start(function()
    if not os.rename("@TOKEN@", "@TOKEN@.taken") then error("the second fails") end -- one of them gets it, whoever is first
end)
app:on_stop(function() note "stopped" end)
mg.every("1ms", function() end)
]==])
        process.write_file(r.folder .. "/token", "")
        r:write_raw((process.read_file(r.file):gsub("@TOKEN@", function() return r.folder .. "/token" end)))
        local code, _, err = r:try()
        assert.equal(1, code)
        assert.matches("^[^\n]*site%.lua:%d+: the second fails %(in on_start%)\n", err)
        assert.is_nil(err:find("moongate/", 1, true), err)
        r:wait_note "stopped"
        r:wait_alone()
        assert.equal(0, r:generations()[1].tasks)
        assert.equal("one", r:get("/say").body)
        r.server:stop()
        local stopped = 0
        for _, line in ipairs(r:notes()) do stopped = stopped + (line == "stopped" and 1 or 0) end
        assert.equal(1, stopped)
    end)

    it("runs what was checked, whatever the disk says later: also in a worker that is replaced", function()
        r = reloads.start("app:get('/say', function() return 'first' end)")
        r:write_raw("return 'checked'", "lib.lua")
        r:reload("local lib = require 'lib'\napp:get('/say', function() return lib end)")
        assert.equal("checked", r:get("/say").body)
        r:write_raw("broken = = 1", "lib.lua")
        r:write_raw("nonsense", "site.lua")
        local victim = r.server:workers()[1]
        signal.kill(victim, signal.SIGKILL)
        r.server:wait_log("killed by SIGKILL[^\n]*; replaced")
        require("t.support.instance").wait_until(function()
            local workers = r.server:workers()
            local ok, answer = pcall(r.get, r, "/say")
            return workers[1] ~= victim and ok and answer.body == "checked"
        end, 10)
        assert.equal(1, (r:try()))
        assert.equal("checked", r:get("/say").body)
        r.server:stop()
    end)

    it("keeps the connections to an upstream that has not changed", function()
        local origin = server.start { script = "local app = require 'moongate'.app()\n"
            .. "app:get('/*', function(req) return tostring(req.remote_port) end)\nreturn app" }
        local function proxying(more)
            return ("app:proxy('/o/*', mg.upstream { name = 'o', servers = { '127.0.0.1:%d' } })\n%s"):format(origin.port, more)
        end
        r = reloads.start(proxying "")
        local c = r.server:connect()
        local before = c:get("/o/x").body
        assert.equal(before, c:get("/o/x").body)
        for at = 1, 3 do
            r:reload(proxying(("app:get('/new%d', function() return 'new' end)"):format(at)))
            r:wait_alone()
            assert.equal(before, c:get("/o/x").body)
        end
        assert.equal("new", c:get("/new3").body)
        r.server:stop()
        origin:stop()
    end)

    it("puts changed limits in service: smaller, larger, and for open connections", function()
        local function limited(limits) return ("{ app = app, limits = { %s } }"):format(limits) end
        local echo = "app:post('/', function(req) local t, m, s = req:text() if not t then return s, m end return #t .. '' end)\n"
            .. "app:get('/wait', function() note 'waits' flag 'go' return 'waited' end)"
        r = reloads.start(echo, { returns = limited "body = 10, requests = 16" })
        local c = r.server:connect()
        assert.equal("10", c:post("/", ("x"):rep(10)).body)
        assert.equal(413, r.server:connect():post("/", ("x"):rep(11)).status)
        r:reload(echo, limited "body = 100, requests = 64, head = '1k', connections = 20000, buffers = '200m'")
        assert.equal("100", c:post("/", ("x"):rep(100)).body)
        assert.equal(413, r.server:connect():post("/", ("x"):rep(101)).status)
        assert.equal(431, r.server:connect():get("/", { ["x-long"] = ("x"):rep(1100) }).status)
        local waiting = {}
        for at = 1, 60 do
            waiting[at] = r.server:connect()
            waiting[at]:send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        end
        require("t.support.instance").wait_until(function() return #r:notes() == 60 end, 10)
        r:reload(echo, limited "body = 1, requests = 16")
        r:raise "go"
        for at = 1, 60 do assert.equal("waited", waiting[at]:read().body) end
        assert.equal("1", c:post("/", "x").body)
        assert.equal(413, c:post("/", "xx").status)
        assert.equal("1", waiting[1]:post("/", "x").body)
        r.server:stop()
    end)

    it("tells what holds an old generation", function()
        r = reloads.start(site "one" .. "app:get('/task', function(req) mg.spawn(function() flag 'go' end) flag 'go' return 'x' end)")
        local slow, task = r.server:connect(), r.server:connect()
        slow:send("GET /slow/who?q=1 HTTP/1.1\r\nHost: a\r\n\r\n")
        r:wait_note "slow one"
        task:send("GET /task HTTP/1.1\r\nHost: a\r\n\r\n")
        require("t.support.instance").wait_until(function() return r:generations()[1].tasks == 1 end)
        r:reload(site "two")
        local rows = r:generations()
        assert.equal(2, #rows)
        assert.same({ 1, "retiring", 2, 1 }, { rows[1].number, rows[1].state, rows[1].requests, rows[1].tasks })
        assert.same({ 2, "serving", 0, 0 }, { rows[2].number, rows[2].state, rows[2].requests, rows[2].tasks })
        local holders = table.concat(rows[1].holders, "\n")
        assert.matches("GET /slow/who since %d+ s", holders)
        assert.matches("task spawned at [^\n]*site%.lua:%d+", holders)
        r:raise "go"
        r:wait_alone()
        r.server:stop()
    end)

    it("waits for stop hooks that run when the gateway stops", function()
        r = reloads.start("app:on_stop(function() note 'stops' flag 'go' note 'stopped' end)\napp:get('/say', function() return 'one' end)")
        r:reload(site "two")
        r:wait_note "stops"
        r.server:signal(signal.SIGTERM)
        r.server:wait_log("finishing requests")
        r:raise "go"
        r.server:wait_end(0)
        assert.same({ "stops", "stopped" }, r:notes())
    end)

    it("ends the tasks of requests that are over", function()
        r = reloads.start(site "one" .. "app:get('/begin', function() mg.spawn(function() note 'runs' while true do mg.sleep('1ms') end end) return 'x' end)")
        r:get("/begin")
        r:wait_note "runs"
        assert.equal(1, r:generations()[1].tasks)
        r:reload(site "two")
        r:wait_alone()
        assert.equal(0, r:generations()[1].tasks)
        r.server:stop()
    end)

    it("runs the stop hooks of every generation that is alive when the gateway stops", function()
        local function hooked(version) return site(version) .. ("app:on_stop(function() note 'stop %s' end)"):format(version) end
        r = reloads.start(hooked "one")
        local c = r.server:connect()
        c:send("GET /slow/a HTTP/1.1\r\nHost: a\r\n\r\n")
        r:wait_note "slow one"
        r:reload(hooked "two")
        r.server:signal(signal.SIGTERM)
        r.server:wait_log("finishing requests")
        r:raise "go"
        assert.equal("one a extended one", c:read().body)
        r.server:wait_end(0)
        local notes = r:notes()
        assert.equal("stop two", notes[#notes])
        assert.equal("stop one", notes[#notes - 1])
    end)
end)
