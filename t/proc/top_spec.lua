--- `moongate top`, `jit` and the Lua part of `status`, asked of a running gateway: src/proc/top.c, client.c, lua/moongate/traces.lua, vitals.lua.
local cjson = require "cjson"
local instance = require "t.support.instance"
local process = require "t.support.process"
local server = require "t.support.server"
local signal = require "posix.signal"

local SCRIPT = [[
local mg = require "moongate"
local app = mg.app()
app:get("/good", function(req) return "good" end)
app:get("/closure/:x", function(req) local x = req.params.x local f = function() return x end return f() end)
app:get("/slow", function(req) mg.sleep(60) return "late" end)
app:redirect("/moved", "/good")
app:get("/flush", function(req) jit.flush() return "flushed" end)
return app
]]

describe("a running gateway", function()
    local s
    before_each(function()
        instance.begin()
        server.binary = instance.real
        s = instance.start(SCRIPT, { workers = 1 })
    end)
    after_each(instance.sweep)

    local function ask(path, times)
        local c = s:connect()
        for _ = 1, times do assert.equal(200, c:get(path).status) end
        c:close()
    end

    it("says which routes run compiled, and which not, where and why", function()
        ask("/good", 300)
        ask("/closure/1", 300)
        local code, out, err = instance.run { "jit", "--name", s.name }
        assert.same({ 0, "" }, { code, err })
        assert.matches("^1 worker: %d+ traces compiled, %d+ given up, %d flush", out)
        assert.matches("\napart        GET /closure/:x %(%S+:4%)  runs behind a coroutine: a function is made for each request at %S+:4\n", out)
        assert.matches("\ncompiled     GET /good %(%S+:3%)  runs compiled, %d+ trace", out)
        assert.matches("\nin C         %S+ /moved", out)
        assert.matches("\nnot hot      GET /slow ", out)
        assert.matches("given up most often:\n +%d+  %S+:4  a function is made", out)
        code, out = instance.run { "jit", "--json" }
        assert.equal(0, code)
        local answer = cjson.decode(out)[1].answer
        assert.is_true(answer.traces > 0 and answer.code_bytes > 0 and answer.aborts > 0)
        assert.is_true(answer.on)
    end)

    it("throws compiled code away now and then, at the latest with the sixteenth reload, and counts from the beginning", function()
        ask("/good", 300)
        local function told() return cjson.decode((select(2, instance.run { "jit", "--json" })))[1].answer end
        assert.equal(0, told().flushes)
        local answer, reloads = nil, 0
        repeat
            assert.equal(0, (instance.run { "reload" }))
            answer, reloads = told(), reloads + 1
        until answer.flushes > 0 or reloads == 20
        assert.is_true(reloads > 1 and reloads <= 16, ("flushed after %d reloads"):format(reloads))
        for _, route in ipairs(answer.routes) do assert.equal(0, route.traces, route.route) end
    end)

    it("counts from the beginning when a script throws compiled code away", function()
        ask("/good", 300)
        local function traces_of_good()
            for _, route in ipairs(cjson.decode((select(2, instance.run { "jit", "--json" })))[1].answer.routes) do
                if route.route == "GET /good" then return route.traces end
            end
        end
        assert.is_true(traces_of_good() > 0)
        ask("/flush", 1)
        assert.equal(0, traces_of_good())
    end)

    it("shows its Lua in status, as text and in JSON", function()
        local code, out = instance.run { "status" }
        assert.equal(0, code)
        assert.matches("\n\nworker +lua MiB [^\n]*\n1 +%d+%.%d +%d+%.%d +%d+ ", out)
        local lua = instance.status(s.name).lua
        assert.equal(1, #lua)
        assert.is_true(lua[1].answer.lua_bytes > 100000)
        assert.is_true(lua[1].answer.resident_bytes > 1000000)
    end)

    it("shows status without its Lua when a worker hangs", function()
        signal.kill(s:workers()[1], signal.SIGSTOP)
        local code, out = instance.run { "status", "--json" }
        signal.kill(s:workers()[1], signal.SIGCONT)
        assert.equal(0, code)
        assert.same({}, cjson.decode(out).lua)
        assert.equal("serving", cjson.decode(out).state)
    end)

    it("is seen once, with rates and what runs", function()
        local c = s:connect()
        c:send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        ask("/good", 5) -- the slow one has begun
        local code, out, err = instance.run { "top", "--once", "--name", s.name }
        assert.same({ 0, "" }, { code, err })
        assert.matches("^" .. s.name:gsub("%-", "%%-") .. ": serving, generation 1, up ", out)
        assert.matches("\nrequests/s  0  %(1xx 0  2xx 0  3xx 0  4xx 0  5xx 0%)\n", out)
        assert.matches("1 +GET /slow  %(GET /slow%)\n", out)
        assert.is_nil(out:find("\27", 1, true))
        code, out = instance.run { "top", "--once", "--json" }
        assert.equal(0, code)
        local model = cjson.decode(out)
        assert.equal(1, #model.workers)
        assert.equal("/slow", model.running[1].path)
    end)

    it("is seen live in a terminal, until q", function()
        local path = instance.runtime() .. "/screen"
        local shell = ("printf q | script -qec 'stty rows 24 cols 80; %s top' %s >/dev/null"):format(server.binary, path)
        local code = process.run({ "sh", "-c", shell, env = { MOONGATE_RUNTIME_DIR = instance.runtime(), TERM = "vt100" } }, 10)
        assert.equal(0, code)
        local screen = process.read_file(path)
        assert.is_truthy(screen:find("\27[H\27[1m" .. s.name, 1, true), screen)
        assert.matches("q ends", screen)
        assert.matches("\27%[%?25h", screen)
        for line in screen:gsub("\27%[[%d;?]*%a", ""):gsub("Script [^\n]*", ""):gmatch("[^\r\n]+") do assert.is_true(#line <= 80, line) end
    end)

    it("is watched line by line until a signal, or until it ends", function()
        local path = instance.runtime() .. "/lines"
        for _, ending in ipairs { "signal", "stop" } do
            process.write_file(path, "")
            local child = process.spawn { server.binary, "top", "--json", env = { MOONGATE_RUNTIME_DIR = instance.runtime() }, stdout = path, stderr = "/dev/null" }
            instance.wait_file(path, "\n")
            if ending == "signal" then signal.kill(child.pid, signal.SIGINT) else s:stop() end
            local how, code = child:wait(10)
            assert.same({ "exited", ending == "signal" and 0 or 4 }, { how, code })
            assert.equal("serving", cjson.decode(process.read_file(path):match("[^\n]+")).state)
        end
    end)
end)
