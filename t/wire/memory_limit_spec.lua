--- A script that takes all the memory there is: it alone fails, its neighbours go on, and the memory is there again.
local json = require "cjson"
local server = require "t.support.server"

after_each(server.sweep)

--- Each ends by itself, beyond the limit: what is not stopped answers 200.
local SITE = [==[
local mg = require "moongate"
local app = mg.app()
local ffi = require "ffi"
local MIB = 2 ^ 20
local bombs, sink = {}, nil
function bombs.table() local t = {} for i = 1, 4e6 do t[i] = { i } end sink = #t end
function bombs.strings() local t = {} for i = 1, 4e6 do t[i] = "number " .. i end sink = #t end
function bombs.concat() local s = "0123456789abcdef" for _ = 1, 24 do s = s .. s end sink = #s end
function bombs.pieces() local t = {} for i = 1, 200 do t[i] = ("x"):rep(MIB - i) end sink = #t end
function bombs.rep() local s = ("x"):rep(1024 * MIB) sink = #s end
function bombs.buffer() local b = require("string.buffer").new() for _ = 1, 4e6 do b:put("0123456789abcdef0123456789abcdef") end sink = #b end
function bombs.cdata() local c = ffi.new("char[?]", 1024 * MIB) sink = c[1] end
function bombs.cells() local t = {} for i = 1, 2e6 do t[i] = ffi.new("double[16]") end sink = #t end
function bombs.closures() local t = {} for i = 1, 4e6 do t[i] = function() return i end end sink = #t end
function bombs.coroutines() local t = {} for i = 1, 4e5 do t[i] = coroutine.create(bombs.table) end sink = #t end
function bombs.deep() local function f(n) return n == 0 and {} or { f(n - 1), ("x"):rep(2e5 + n) } end sink = f(1000) end
function bombs.json(req) sink = require("cjson").encode(bombs.big()) end
function bombs.big() local t = {} for i = 1, 4e6 do t[i] = i .. "" end return t end
function bombs.waits() local t = {} for i = 1, 200 do t[i] = ("x"):rep(MIB - i) if i % 10 == 0 then mg.sleep("1ms") end end sink = #t end

app:get("/bomb/:name", function(req) bombs[req.params.name]() return "whole" end)
app:get("/hidden/:name", function(req) pcall(bombs[req.params.name]) pcall(bombs[req.params.name]) return "went on" end)
app:get("/inner/:name", function(req)
    local co = coroutine.wrap(function() bombs[req.params.name]() end)
    co()
    return "whole"
end)
app:get("/task/:name", function(req)
    local task = mg.spawn(function() bombs[req.params.name]() end)
    return tostring(task:join())
end)
app:get("/alone/:name", function(req) mg.spawn(bombs[req.params.name]) return "spawned" end)
app:get("/garbage", function() for i = 1, 300 do sink = ("x"):rep(MIB) .. i end sink = nil return "garbage" end)
app:get("/tables", function() for i = 1, 6e6 do sink = { i, i } end sink = nil return "tables" end)
app:get("/fits", function() local t = {} for i = 1, 20 do t[i] = ("x"):rep(MIB) .. i end return tostring(#t) end)
app:get("/small", function(req) local t = {} for i = 1, 100 do t[i] = "n" .. i end return "small " .. #t end)
app:get("/kept/:n", function(req) sink = {} for i = 1, tonumber(req.params.n) do sink[i] = ("k"):rep(MIB) .. i end return "kept" end)
app:get("/slow", function() local t = {} for i = 1, 6 do t[i] = ("s"):rep(MIB) .. i mg.sleep("10ms") end return "slow" end)
]==]

local LIMIT = 48

local function start(more)
    return server.start { script = SITE .. (more or "") ..
        ("\nreturn { app = app, limits = { lua_memory = '%dm', handler_time = '20s' } }"):format(LIMIT) }
end

local function lua_bytes(s)
    local code, text = server.run { "status", "--json", "--name", s.name }
    assert.equal(0, code)
    return json.decode(text).workers[1].lua.bytes
end

local BOMBS = { "table", "strings", "concat", "pieces", "rep", "buffer", "cdata", "cells", "closures", "coroutines", "deep", "json", "waits" }
local QUICK = { "table", "concat", "pieces", "rep", "buffer", "cdata", "deep", "coroutines" } -- 4 million strings take LuaJIT a second

describe("a script that takes all memory", function()
    it("is one failed request, whatever it does it with", function()
        local s = start()
        local workers = s:workers()
        for way, names in pairs { bomb = BOMBS, inner = QUICK } do
            for _, name in ipairs(names) do
                local response = s:get(("/%s/%s"):format(way, name))
                assert.equal(503, response.status, way .. " " .. name .. ": " .. response.body:sub(1, 100))
                assert.matches("took too much memory", response.body)
                assert.equal("small 100", s:get("/small").body)
                assert.is_true(lua_bytes(s) < 12 * 2 ^ 20, ("%s: %d bytes are still in use"):format(name, lua_bytes(s)))
            end
        end
        assert.same(workers, s:workers())
        s:stop()
    end)

    it("is named with its line and how much there was", function()
        local s = start()
        s:get("/bomb/table")
        s:wait_log("GET /bomb/table.-app%.lua:%d+: not enough memory: Lua has %d+%.%d MiB of 48%.0 %(limits%.lua_memory%)")
        s:get("/bomb/rep")
        s:wait_log("GET /bomb/rep.-not enough memory: Lua has %d+%.%d MiB of 48%.0 and was asked for 1024%.0 more %(limits%.lua_memory%)\n    stack traceback:.-app%.lua:10:")
        s:stop()
    end)

    it("is stopped in tasks, which are named by where they were spawned", function()
        local s = start()
        for _, name in ipairs(QUICK) do
            assert.equal("nil", s:get("/task/" .. name).body, name)
            assert.equal("spawned", s:get("/alone/" .. name).body)
            assert.equal("small 100", s:get("/small").body)
        end
        s:wait_log("a task spawned at [^\n]*app%.lua:%d+ failed: [^\n]*not enough memory")
        assert.is_true(lua_bytes(s) < 12 * 2 ^ 20)
        s:stop()
    end)

    it("may go on when it has let go what was too much, and is asked by the app's own error handler otherwise", function()
        local s = start [==[
            app:on_error("out-of-memory", function(req, err) return 507, "handled " .. err.message end)
        ]==]
        local workers = s:workers()
        local response = s:get("/hidden/pieces")
        assert.is_true(response.status == 200 or response.status == 507)
        local handled = s:get("/bomb/pieces")
        assert.equal(507, handled.status)
        assert.equal("handled this request took too much memory", handled.body)
        assert.same(workers, s:workers())
        s:stop()
    end)

    it("does not disturb its neighbours", function()
        local s = start()
        local slow, bomb, small = s:connect(), s:connect(), s:connect()
        for _, name in ipairs { "waits", "pieces", "table" } do
            slow:send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
            bomb:send(("GET /bomb/%s HTTP/1.1\r\nHost: a\r\n\r\n"):format(name))
            for _ = 1, 20 do assert.equal("small 100", small:get("/small").body) end
            assert.equal(503, bomb:read().status)
            assert.equal("slow", slow:read().body)
        end
        s:stop()
    end)

    it("leaves memory as it was after 200 times", function()
        local s = start()
        s:get("/bomb/pieces")
        local before = lua_bytes(s)
        for round = 1, 200 do
            local name = QUICK[round % #QUICK + 1]
            assert.equal(503, s:get("/bomb/" .. name).status, name)
        end
        assert.equal("small 100", s:get("/small").body)
        assert.is_true(lua_bytes(s) < before + 4 * 2 ^ 20, ("%d bytes before, %d after"):format(before, lua_bytes(s)))
        s:stop()
    end)
end)

describe("a script that stays below", function()
    it("is not taken for one because of its garbage", function()
        local s = start()
        for _ = 1, 3 do
            assert.equal("garbage", s:get("/garbage").body)
            assert.equal("tables", s:get("/tables").body)
            assert.equal("20", s:get("/fits").body)
        end
        assert.equal("kept", s:get("/kept/24").body) -- half of what there is stays in use
        for _ = 1, 2 do
            assert.equal("garbage", s:get("/garbage").body)
            assert.equal("tables", s:get("/tables").body)
        end
        s:stop()
    end)
end)
