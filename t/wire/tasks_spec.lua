--- Waiting, everywhere that user code runs, in the real program.
local served = require("t.support.served").by
local process = require "t.support.process"
local server = require "t.support.server"

describe("waiting", function()
    local ask, s = served [[
        local log = {}
        local function note(text) log[#log + 1] = text end
        local started = "no"
        local beats, beating, overlapped = 0, 0, false
        app:on_start(function() mg.sleep(0.005) started = "after a wait" end)
        app:on_start(function()
            mg.every(0.002, function()
                beating = beating + 1
                overlapped = overlapped or beating > 1
                beats = beats + 1
                mg.sleep(0.005)
                beating = beating - 1
                if beats == 3 then error("a beat that fails") end
            end)
        end)
        app:get("/log", function(req) local text = table.concat(log, " "); log = {}; return text end)
        app:get("/started", function(req) return started end)
        app:get("/beats", function(req) return beats .. " " .. tostring(overlapped) end)
        app:get("/sleep/:ms", function(req)
            local before = mg.now()
            mg.sleep(req.params.ms .. "ms")
            return ("%d"):format((mg.now() - before) * 1000)
        end)
        app:get("/slept", function(req) return tostring(mg.sleep(0)) end)
        app:get("/spawn", function(req)
            local handle = mg.spawn(function(a, b) mg.sleep(0.002) note(a .. b) return a end, "x", "y")
            note("first")
            return tostring(handle:join())
        end)
        app:get("/beside", function(req) mg.spawn(function() mg.sleep(0.005) note("beside") end) return "answered" end)
        app:get("/outlives/:id", function(req)
            mg.spawn(function()
                mg.sleep(0.02)
                local ok, message = pcall(function() return req.params.id end)
                note(tostring(ok) .. " " .. tostring(message))
            end)
            return req.params.id
        end)
        app:get("/all", function(req)
            local before = mg.now()
            local a, b, c = mg.all(function() mg.sleep(0.1) return 1 end, function() mg.sleep(0.1) return 2 end, function() return 3 end)
            return ("%d%d%d %s"):format(a, b, c, tostring(mg.now() - before < 0.19))
        end)
        app:get("/all/fails", function(req)
            local ended = true
            local ok, message, code = mg.all(function() mg.sleep(10) ended = false return 1 end, function() return nil, "no stock", 409 end)
            return tostring(ok) .. " " .. message .. " " .. code .. " " .. tostring(ended)
        end)
        app:get("/all/raises", function(req) mg.all(function() mg.sleep(10) end, function() mg.raise(409, "raised in a task") end) end)
        app:get("/any", function(req)
            return (mg.any(function() mg.sleep(0.002) return nil, "failed" end, function() mg.sleep(0.004) return "second" end, function() mg.sleep(10) end))
        end)
        app:get("/timeout", function(req) local r, m, c = mg.timeout("5ms", mg.sleep, 10) return tostring(r) .. " " .. m .. " " .. c end)
        app:get("/in/time", function(req) return (mg.timeout(10, function(x) mg.sleep(0.001) return x end, "in time")) end)
        app:get("/after", function(req)
            mg.after("3ms", note, "after")
            local never = mg.after("3ms", note, "never")
            never:cancel()
            return "at once"
        end)
        app:get("/cancel", function(req)
            local cleaned = "no"
            local handle = mg.spawn(function()
                local ok, why = pcall(mg.sleep, 10)
                cleaned = tostring(ok) .. " " .. tostring(why)
                error(why, 0)
            end)
            mg.sleep(0.001)
            handle:cancel()
            local ok, message = handle:join()
            return cleaned .. " " .. tostring(ok) .. " " .. message
        end)
        app:get("/coroutine", function(req)
            local numbers = coroutine.wrap(function() for n = 1, 3 do mg.sleep(0.001) coroutine.yield(n) end end)
            return numbers() + numbers() + numbers() .. " " .. coroutine.status(coroutine.create(print))
        end)
        app:get("/task/error", function(req) mg.spawn(function() error("in a task") end) return "ok" end)
        app:get("/task/nothing", function(req) mg.spawn(function() error(setmetatable({}, { __tostring = error })) end) return "ok" end)
        app:get("/logged", function(req) mg.log("warn", "a line", 7, true) mg.log("just text") mg.log("debug", "not shown") return req.id end)
        app:get("/pcall", function(req) return tostring(pcall(function() mg.sleep(0.001) error("x") end)) end)
        app:get("/worker", function(req) return tostring(mg.worker()) .. " " .. tostring(math.abs(mg.time() - os.time()) < 2) end)
        app:get("/constant", function(req) return "constant" end)
    ]]

    local function get(target) return ask("GET", target).body end

    --- The notes of tasks once there are some.
    local function noted()
        local limit = process.now() + 10
        repeat
            local text = get("/log")
            if text ~= "" then return text end
        until process.now() > limit
        error("no task has noted anything in time")
    end

    it("is a matter of the request alone", function()
        assert.equal("after a wait", get("/started"))
        local slow, quick = s.server:connect(), s.server:connect()
        slow:send("GET /sleep/100 HTTP/1.1\r\nHost: a\r\n\r\n")
        for _ = 1, 50 do assert.equal("constant", quick:get("/constant").body) end
        assert.is_true(tonumber(slow:read().body) >= 100)
        assert.equal("true", get("/slept"))
    end)

    it("in pipelined requests goes on at once, and the answers keep their order", function()
        local c, before = s.server:connect(), process.now()
        local answers = c:pipeline { "/sleep/200", "/sleep/150", "/sleep/10", "/constant", "/sleep/199", "/sleep/198" }
        assert.is_true(process.now() - before < 0.6) -- one after the other: 0.757
        for at, least in ipairs { 200, 150, 10, false, 199, 198 } do
            if least then assert.is_true(tonumber(answers[at].body) >= least) else assert.equal("constant", answers[at].body) end
        end
    end)

    it("in hundreds of requests at once", function()
        local clients = {}
        for at = 1, 200 do
            clients[at] = s.server:connect()
            clients[at]:send("GET /sleep/20 HTTP/1.1\r\nHost: a\r\n\r\n")
        end
        for at = 1, 200 do assert.equal(200, clients[at]:read().status) end
    end)

    it("for a task beside", function()
        assert.equal("x", get("/spawn"))
        assert.equal("first xy", get("/log"))
        assert.equal("answered", get("/beside"))
        assert.equal("beside", noted())
    end)

    it("leaves a task that outlives its request without that request, not with another", function()
        assert.equal("7", get("/outlives/7"))
        for _ = 1, 5 do get("/sleep/1") end
        assert.matches("^false .*req%.params: this request is over", noted())
    end)

    it("for several at once", function()
        assert.equal("123 true", get("/all"))
        assert.equal("nil no stock 409 true", get("/all/fails"))
        local response = ask("GET", "/all/raises")
        assert.equal(409, response.status)
        assert.matches("raised in a task", response.body)
        assert.equal("second", get("/any"))
    end)

    it("has limits", function()
        assert.equal("nil timeout timeout", get("/timeout"))
        assert.equal("in time", get("/in/time"))
    end)

    it("may be for later, or given up", function()
        assert.equal("at once", get("/after"))
        assert.equal("after", noted())
        assert.equal("false cancelled nil cancelled", get("/cancel"))
    end)

    it("again and again never overlaps itself, and survives an error", function()
        local limit = process.now() + 10
        local count, overlapped
        repeat
            count, overlapped = get("/beats"):match("(%d+) (%a+)")
        until tonumber(count) >= 6 or process.now() > limit
        assert.is_true(tonumber(count) >= 6)
        assert.equal("false", overlapped)
        s.server:wait_log("mg%.every at [^\n]*app%.lua:%d+: [^\n]*a beat that fails")
    end)

    it("works inside coroutines of one's own and inside pcall", function()
        assert.equal("6 suspended", get("/coroutine"))
        assert.equal("false", get("/pcall"))
    end)

    it("lets errors of tasks into the log, with where they were spawned", function()
        assert.equal("ok", get("/task/error"))
        s.server:wait_log("a task spawned at [^\n]*app%.lua:%d+ failed: [^\n]*in a task")
        assert.equal("ok", get("/task/nothing"))
        s.server:wait_log("failed: a value that cannot be shown")
        assert.equal("constant", get("/constant"))
    end)

    it("goes with lines in the log, under the request's id", function()
        local id = get("/logged")
        s.server:wait_log("warn [^\n]*request " .. id:gsub("%-", "%%-") .. ": a line 7 true")
        s.server:wait_log("info [^\n]*just text")
        assert.is_nil(s.server:log():find("not shown", 1, true))
        assert.equal("1 true", get("/worker"))
    end)
end)

describe("a worker told to stop", function()
    after_each(server.sweep)

    it("lets stop hooks wait, each worker once, after its requests", function()
        local s = server.start { workers = 2, script = [[
            local mg = require "moongate"
            local app = mg.app()
            app:on_stop(function() mg.sleep(0.01) mg.log("stopped worker " .. mg.worker()) end)
            app:get("/", function(req) mg.sleep(0.1) mg.log("answered") return "answered" end)
            return app]] }
        local c = s:connect()
        c:send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        -- The request is running before the signal when another connection's whole answer came after it.
        s:get("/")
        local log = s:stop()
        assert.equal("answered", c:read().body)
        local _, first = log:gsub("stopped worker 1", "")
        local _, second = log:gsub("stopped worker 2", "")
        assert.same({ 1, 1 }, { first, second })
        assert.is_true(log:find("answered", 1, true) < log:find("stopped worker", 1, true))
    end)
end)
