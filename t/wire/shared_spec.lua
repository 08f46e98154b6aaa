--- mg.shared in the real program: all workers see one dictionary, which reloads, crashes and upgrades leave as it is.
local json = require "cjson"
local posix_signal = require "posix.signal"
local process = require "t.support.process"
local server = require "t.support.server"

local SITE = [[
local mg = require "moongate"
local app = mg.app()
local store = mg.shared "spec"
app:post("/do", function(req)
    local fn = assert(loadstring("local store, mg = ... " .. req:text()))
    local results = { n = 0 }
    local function keep(...) results = { n = select("#", ...), ... } end
    keep(fn(store, mg))
    local shown = {}
    for i = 1, results.n do shown[i] = results[i] == nil and mg.null or results[i] end
    return { worker = mg.worker(), results = mg.array(shown) }
end)
app:get("/count", function() return tostring(store:incr("count", 1, 0)) end)
app:get("/update/:n", function(req)
    for _ = 1, tonumber(req.params.n) do
        assert(store:update("table", function(t) t = t or { n = 0 } t.n = t.n + 1 return t end))
    end
    return "done"
end)
]]

describe("mg.shared", function()
    after_each(server.sweep)
    local s

    local function start(options)
        local all = { script = SITE .. "return { app = app, shared = { sized = '256k' } }", workers = 2 }
        for key, value in pairs(options or {}) do all[key] = value end
        s = server.start(all)
        return s
    end

    --- Runs code in a worker; what it returned.
    local function run(code, status)
        local response = s:connect():post("/do", code)
        assert.equal(status or 200, response.status, response.body)
        if status then return nil end
        local results = json.decode(response.body).results
        for i = 1, 8 do
            if results[i] == json.null then results[i] = nil end
        end
        return unpack(results, 1, 8)
    end

    it("keeps strings, numbers, booleans and tables, and says why it does not", function()
        start()
        assert.equal("a\0b", run 'store:set("k", "a\\0b") return store:get "k"')
        assert.equal(-0.5, run 'store:set("k", -0.5) return store:get "k"')
        assert.equal(false, run 'store:set("k", false) return (store:get "k")')
        assert.same({ 1, { a = "b" } }, run 'store:set("k", { 1, { a = "b" } }) return store:get "k"')
        assert.equal(100000, run 'store:set("k", ("x"):rep(100000)) return #store:get "k"')
        assert.equal(0, run 'store:set("k", nil) return select("#", store:get "k") - 1')
        assert.same({ nil, "the key is there already", "exists" }, { run 'store:set("k", 1) return store:add("k", 2)' })
        assert.same({ nil, "there is no such key", "absent" }, { run 'return store:replace("nope", 2)' })
        assert.same({ nil, "the key has a value of another kind", "kind" }, { run 'store:set("k", "t") return store:incr "k"' })
        assert.same({ nil, "the value is too large for this dictionary", "too-large" }, { run 'return mg.shared("sized"):set("k", ("x"):rep(200000))' })
        assert.same({ nil, "a key has 1 to 1024 bytes", "key" }, { run 'return store:get ""' })
        assert.equal(true, run 'local t = store:ttl "k" store:expire("k", "5s") return t == math.huge and store:ttl "k" <= 5')
        run('store:set(1, 2)', 500)
        s:wait_log('set: expected a key, a string, got number', 5)
        run('store:put("k", 2)', 500)
        s:wait_log('the dictionary has no "put" %(set%(key, value, ttl%)%)', 5)
        s:stop()
    end)

    it("has lists, limits, keys", function()
        start()
        assert.same({ 1, 2, 3, "a", true, 1 }, { run [[
            local a, b, c = store:rpush("l", true), store:lpush("l", "a"), store:rpush("l", { 1 })
            return a, b, c, store:lpop "l", store:lpop "l", store:lpop("l")[1] ]] })
        assert.same({ true, true, false }, { run [[
            local function ask() return (store:limit("r", { rate = "1/h", burst = 2 })) end
            return ask(), ask(), ask()]] })
        assert.same({ true, false }, { run [[
            local function ask() return (store:limit("w", { count = 1, window = "1h" })) end
            return ask(), ask()]] })
        assert.same({ 3, 2 }, { run [[
            store:flush()
            for _, key in ipairs { "a:1", "a:2", "b" } do store:set(key, 1) end
            return #store:keys(), #store:keys "a:"]] })
        s:stop()
    end)

    it("is one for all workers: no count and no update is lost", function()
        start()
        local clients, seen = {}, {}
        for i = 1, 8 do clients[i] = s:connect() end
        for _ = 1, 5 do
            for _, c in ipairs(clients) do c:send("GET /update/100 HTTP/1.1\r\nHost: a\r\n\r\nGET /count HTTP/1.1\r\nHost: a\r\n\r\n") end
            for _, c in ipairs(clients) do assert.same({ 200, 200 }, { c:read().status, c:read().status }) end
        end
        assert.same({ 4000, 40 }, { run 'return store:get("table").n, store:get "count"' })
        for _ = 1, 40 do seen[json.decode(s:connect():post("/do", "return 1").body).worker] = true end
        assert.same({ true, true }, seen)
        s:stop()
    end)

    it("outlives reloads, workers that are killed, and upgrades", function()
        start()
        server.expect_successor(s.name)
        assert.equal("1", s:get("/count").body)
        assert.equal(0, (server.run { "reload", "--name", s.name }))
        assert.equal("2", s:get("/count").body)
        for _, pid in ipairs(s:workers()) do posix_signal.kill(pid, posix_signal.SIGKILL) end
        s:wait_log("worker 1 %(pid %d+%): serves", 5)
        s:wait_log("worker 2 %(pid %d+%): serves", 5)
        assert.equal("3", s:get("/count").body)
        local code, _, err = server.run({ "upgrade", "--name", s.name }, 20)
        assert.equal(0, code, err)
        assert.equal("4", s:get("/count").body)
        assert.equal(0, (server.run({ "stop", "--name", s.name }, 10)))
    end)

    it("makes no garbage in compiled code", function()
        start()
        local bytes = run [[
            local WINDOW, BUCKET = { count = 9, window = "1m" }, { rate = "9/m", burst = 9 }
            local function work(n)
                for _ = 1, n do
                    store:incr("n", 1, 0)
                    store:set("k", "text", "10m")
                    store:get "k"
                    store:limit("w", WINDOW)
                    store:limit("b", BUCKET)
                end
            end
            work(2000)
            collectgarbage() collectgarbage "stop"
            local before = collectgarbage "count"
            work(20000)
            local bytes = (collectgarbage "count" - before) * 1024 / 20000
            collectgarbage "restart"
            return bytes]]
        assert.is_true(bytes < 8, bytes .. " bytes for each round")
        s:stop()
    end)

    it("takes the size that the config says, and shows how full it is", function()
        start()
        run 'for i = 1, 3000 do mg.shared("sized"):set("key" .. i, i) end'
        local _, out = server.run { "status", "--json", "--name", s.name }
        local sized
        for _, store in ipairs(json.decode(out).shared) do if store.name == "sized" then sized = store end end
        assert.equal(262144, sized.bytes)
        assert.is_true(sized.entries > 1500 and sized.entries < 2048 and sized.evicted == 3000 - sized.entries)
        assert.matches("sized +0%.%d/ +0%.2", (select(2, server.run { "status", "--name", s.name })))
        process.write_file(s.file, (process.read_file(s.file):gsub("256k", "1m")))
        assert.equal(0, (server.run { "reload", "--name", s.name }))
        s:wait_log("shared%.sized: it has 262144 bytes since it was made", 5)
        s:stop()
    end)

    it("is used by the example", function()
        s = server.start { file = "conf/examples/shared.lua", workers = 2 }
        assert.equal("visit 1", s:get("/").body)
        assert.same({ "you", "me" }, (function() s:get("/last/me") return json.decode(s:get("/last/you").body) end)())
        assert.same({ waiting = 1 }, json.decode(s:connect():post("/jobs", "work").body))
        assert.equal("work", s:get("/jobs").body)
        local limited
        for _ = 1, 20 do limited = s:get("/") end
        assert.equal(429, limited.status)
        s:stop()
    end)
end)
