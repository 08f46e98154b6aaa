--- What would wait for ever ends, and what could grow for ever is refused: the waits that need sockets (the others: t/lua/waits_spec.lua), hooks,
--- and every bound that `moongate status` shows.
local http_text = require "t.support.http_text"
local instance = require "t.support.instance"
local json = require "cjson"
local reloads = require "t.support.reloads"
local server = require "t.support.server"

local wait_until = instance.wait_until

before_each(reloads.begin)
after_each(reloads.sweep)

local LIMITS = [[{ app = app, limits = { hook_time = "150ms", task_wait = "150ms", body_time = "200ms", write_stall = "200ms", request_time = 0,
    upstream_head = "150ms" } }]]
local r

local function start(text, options)
    options = options or {}
    options.returns = LIMITS
    r = reloads.start(text .. "\napp:get('/say', function() return 'hello' end)", options)
    return r.server
end

local function answer_of(s, number)
    local code, out = instance.run({ "status", "--json", "--name", s.name }, 10)
    assert.equal(0, code)
    return json.decode(out).lua[number or 1].answer
end

local function row(rows, key, name)
    for _, one in ipairs(rows) do
        if one[key] == name then return one end
    end
    error("no " .. name)
end

local function notes_are(expected)
    wait_until(function() return #r:notes() >= #expected end)
    assert.same(expected, r:notes())
end

describe("a wait for somebody who never comes", function()
    it("for the client's content ends in body_time", function()
        local s = start("app:post('/', function(req) local text, why, status = req:text() note(tostring(status)) return status end)")
        local c = s:connect()
        c:send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
        wait_until(function() return row(answer_of(s).waiting, "kind", "body").count == 1 end)
        assert.equal(408, c:read().status)
        notes_are { "408" }
        s:stop()
    end)

    it("for a client that takes nothing ends in write_stall, and then the hooks of its answer run", function()
        local s = start([[
            app:get("/", function(req)
                req:on_done(function() note "done" end)
                return mg.stream(function(out)
                    while true do
                        local ok, why = out:write(("x"):rep(65536))
                        if not ok then note "gone" return end
                    end
                end)
            end)]])
        local c = s:connect()
        c:send(http_text.request("GET", "/"))
        wait_until(function() return row(answer_of(s).waiting, "kind", "output").count == 1 end)
        notes_are { "gone", "done" }
        s:stop()
    end)

    it("for hooks that run while the gateway stops ends in hook_time", function()
        local s = start("app:get('/', function(req) req:on_done(function() note 'waits' mg.sleep(3600) end) return 'x' end)")
        assert.equal("x", s:get("/").body)
        notes_are { "waits" }
        local log = s:stop()
        assert.matches("on_done: waited until its time of 150ms was over %(limits%.hook_time%)", log)
    end)

    it("for a server that says nothing ends in upstream_head", function()
        local silent = require("socket").bind("127.0.0.1", 0)
        local s = start(([[app:get("/", function()
            mg.spawn(function() note(tostring((select(3, mg.fetch "http://127.0.0.1:%d/")))) end)
            return "x"
        end)]]):format((select(2, silent:getsockname()))))
        assert.equal("x", s:get("/").body)
        notes_are { "504" }
        assert.equal(0, row(answer_of(s).waiting, "kind", "server").count)
        silent:close()
        s:stop()
    end)

    it("in a stream, for a task, ends in task_wait although its answer has begun", function()
        local s = start([[
            app:get("/", function()
                return mg.stream(function(out)
                    out:write "a"
                    local _, why, code = mg.spawn(mg.sleep, 3600):join()
                    out:write(code)
                end)
            end)]])
        assert.equal("atimeout", s:get("/").body)
        assert.equal(1, row(answer_of(s).waiting, "kind", "sleep").count)
        s:stop()
    end)
end)

describe("a hook that waits for ever", function()
    it("at the start fails the start, with its line and its limit", function()
        local folder = server.folder { ["site.lua"] = "local mg = require 'moongate' local app = mg.app()\n"
            .. "app:on_start(function() mg.sleep(3600) end)\nreturn " .. LIMITS }
        local code, _, err = instance.run({ "run", folder .. "/site.lua", "--listen", "127.0.0.1:0", "--workers", "1" }, 10)
        assert.equal(6, code)
        assert.matches("site%.lua:2: on_start: waited until its time of 150ms was over %(limits%.hook_time%)", err)
    end)

    it("and catches what ends it fails the start, too", function()
        local folder = server.folder { ["site.lua"] = "local mg = require 'moongate' local app = mg.app()\n"
            .. "app:on_start(function() while true do pcall(mg.sleep, 3600) end end)\nreturn " .. LIMITS }
        local code, _, err = instance.run({ "run", folder .. "/site.lua", "--listen", "127.0.0.1:0", "--workers", "1" }, 10)
        assert.equal(6, code)
        assert.matches("limits%.hook_time", err)
    end)

    it("at a reload fails the reload; what serves goes on", function()
        local s = start ""
        for _, body in ipairs { "mg.sleep(3600)", "while true do pcall(mg.sleep, 3600) end" } do
            r:write("app:on_start(function() " .. body .. " end)\napp:get('/say', function() return 'new' end)")
            local code, _, err = r:try()
            assert.equal(1, code)
            assert.matches("on_start[^\n]*: waited until its time of 150ms was over %(limits%.hook_time%)", err)
            assert.equal("hello", s:get("/say").body)
        end
        r:reload "app:get('/say', function() return 'new' end)"
        assert.equal("new", s:get("/say").body)
        r:wait_alone()
        s:stop()
    end)

    it("at the end of a version is ended, and the next one runs", function()
        local s = start("app:on_stop(function() mg.sleep(3600) end)\napp:on_stop(function() note 'second' end)")
        r:reload "app:get('/say', function() return 'new' end)"
        r:wait_alone()
        assert.same({ "second" }, r:notes())
        assert.matches("on_stop at %S+site%.lua:%d+: waited until its time of 150ms was over", s:stop())
    end)

    it("and catches what ends it is given up, with the version it holds", function()
        local s = start "app:on_stop(function() while true do pcall(mg.sleep, 3600) end end)"
        r:reload "app:get('/say', function() return 'new' end)"
        r:wait_alone()
        assert.matches("on_stop at %S+site%.lua:%d+: waits still, 150ms after it was asked to end: it is given up %(limits%.hook_time%)", s:stop())
    end)

    it("after an answer lets its request go, whatever it catches", function()
        local s = start("app:on_done(function() while true do pcall(mg.sleep, 3600) end end)\napp:get('/', function() return 'x' end)")
        for _ = 1, 3 do assert.equal("x", s:get("/").body) end
        wait_until(function() return #r:generations()[1].holders == 0 end)
        local _, count = s:stop():gsub("on_done at %S+site%.lua:%d+: waits still", "")
        assert.equal(3, count)
    end)
end)

describe("a task that catches its cancellation", function()
    it("at the end of its version is given up, with its line in the log, and the version goes", function()
        local s = start "mg.spawn(function() while true do pcall(mg.sleep, '10ms') end end)"
        r:reload "app:get('/say', function() return 'new' end)"
        assert.equal("new", s:get("/say").body)
        local old = r:generations()[1]
        assert.equal(1, old.number)
        assert.matches("task spawned at %S+site%.lua:%d+ %(asked to end; given up in 1 s%)", old.holders[1])
        r:wait_alone()
        local log = s:stop()
        assert.matches("a task spawned at %S+site%.lua:%d+: waits still, 150ms after it was asked to end: it is given up %(limits%.hook_time%)", log)
        assert.is_nil(log:find("moongate/", 1, true))
    end)
end)

--- By the name of the row: what fills it beyond its bound, and what must not happen. `most` is the bound under the limits below.
local FILLED = {}
local SMALL = [[{ app = app, limits = { tasks = 16, requests = 16, connections = 8, lua_memory = "16m", buffers = "1m", request_time = "3s" } }]]

FILLED.tasks = function(s) return s:get("/tasks").status == 503 end
FILLED["Lua memory"] = function(s) return s:get("/bomb").status == 503 end
FILLED.connections = function(s)
    local list = {}
    for at = 1, 12 do
        list[at] = s:connect()
        list[at]:send(http_text.request("GET", "/hold"))
    end
    wait_until(function() return row(answer_of(s).queues, "name", "requests").now >= 8 end)
    local full = row(answer_of(s).queues, "name", "connections")
    for _, c in ipairs(list) do -- the last four are accepted when others have gone
        assert(c:read().status == 200)
        c:close()
    end
    return full.now >= 8 and full.most == 8
end
FILLED.requests = function(s)
    local c = s:connect()
    for _ = 1, 40 do c:send(http_text.request("GET", "/wait")) end
    for _ = 1, 40 do assert(c:read().status == 200) end
    c:close()
    return true
end
FILLED.output = function(s)
    local list = {}
    for at = 1, 6 do
        list[at] = s:connect()
        list[at]:send(http_text.request("GET", "/large"))
    end
    s:wait_log("limits%.buffers: no memory for an answer; connection closed")
    for _, c in ipairs(list) do c:close() end
    return true
end

--- Those that hang on others: as many as there are requests, connections and timers, or fixed in size.
local OF_OTHERS = {
    "input", "timers", "events", "file operations", "proxied", "fetches", "upstream connections", "file loads", "file streams", "file cache", "access log",
    "error log", "to the master", "tasks of its own", "jobs", "to be resumed", "dispatchers", "idle dispatchers", "idle coroutines",
}

describe("every bound that status shows", function()
    local s
    before_each(function()
        r = reloads.start([[
            app:get("/say", function() return "hello" end)
            app:get("/tasks", function() for _ = 1, 40 do mg.spawn(mg.sleep, 0.2) end return "x" end)
            app:get("/bomb", function() local t = {} for at = 1, 1e8 do t[at] = { at } end return "x" end)
            app:get("/hold", function() mg.sleep "800ms" return "x" end)
            app:get("/wait", function() mg.sleep "5ms" return "x" end)
            app:get("/large", function() return ("x"):rep(900000) end)
        ]], { returns = SMALL })
        s = r.server
    end)

    it("has a proof here, and a word for what is beyond it", function()
        local known = {}
        for name in pairs(FILLED) do known[name] = true end
        for _, name in ipairs(OF_OTHERS) do known[name] = true end
        for _, one in ipairs(answer_of(s).queues) do
            assert(known[one.name], one.name .. ": what happens when it is full?")
            assert.is_true(one.most > 0 and one.most < 1e10 and one.now <= one.most, one.name)
            assert.is_true(#one.beyond > 2)
            known[one.name] = nil
        end
        assert.same({}, known)
        s:stop()
    end)

    for name, fill in pairs(FILLED) do
        it("holds, and its worker goes on: " .. name, function()
            local pids = s:workers()
            assert.is_true(fill(s))
            local most = 0
            for _, one in ipairs(answer_of(s).queues) do
                if one.now > one.most then most = one.name end
            end
            assert.equal(0, most)
            assert.equal("hello", s:get("/say").body)
            assert.same(pids, s:workers())
            assert.equal(name == "Lua memory", s:stop():find("lua_memory", 1, true) ~= nil)
        end)
    end

    it("is there as text, too, with who waits", function()
        local code, out = instance.run({ "status", "--name", s.name }, 10)
        assert.equal(0, code)
        for _, one in ipairs(answer_of(s).queues) do assert(out:find("\n" .. one.name .. " +", 1) ~= nil, one.name) end
        for _, one in ipairs(answer_of(s).waiting) do assert(out:find("\n" .. one.kind .. " +%d+ +", 1) ~= nil, one.kind) end
        s:stop()
    end)
end)

describe("dispatchers", function()
    it("that once waited are let go but for a few", function()
        r = reloads.start("app:get('/', function() mg.sleep '300ms' return 'x' end)")
        local list = {}
        for at = 1, 400 do
            list[at] = r.server:connect()
            list[at]:send(http_text.request("GET", "/"))
        end
        for _, c in ipairs(list) do assert.equal("x", c:read().body) end
        local queues = answer_of(r.server).queues
        assert.is_true(row(queues, "name", "idle dispatchers").now <= 256)
        assert.is_true(row(queues, "name", "dispatchers").now <= 258)
        r.server:stop()
    end)
end)
