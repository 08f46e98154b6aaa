--- What scripts could do to the scheduler: a refused wait that was caught, a coroutine of the gateway's resumed by a script, an error value
--- with code of its own.
local process = require "t.support.process"
local served = require("t.support.served").by

describe("the scheduler", function()
    local ask, s = served [[
        local function wait_in_sort() table.sort({ 1, 2, 3 }, function(a, b) mg.sleep("20ms") return a < b end) end
        local function wait_in_coroutine_in_sort()
            table.sort({ 1, 2, 3 }, function(a, b)
                local ok, message = coroutine.resume(coroutine.create(function() mg.sleep("20ms") end))
                if not ok then error(message, 0) end
                return a < b
            end)
        end
        app:get("/sort", function(req) return select(2, pcall(wait_in_sort)) end)
        app:get("/nested", function(req) return select(2, pcall(wait_in_coroutine_in_sort)) end)
        app:get("/pause", function(req)
            local from = mg.time()
            mg.sleep("80ms")
            return mg.time() - from >= 0.075 and "whole" or "cut short"
        end)
        local ours
        app:get("/running", function(req)
            ours = coroutine.running()
            mg.sleep("60ms")
            return "mine"
        end)
        app:get("/resume", function(req) return tostring(ours ~= nil) .. " " .. tostring(select(2, coroutine.resume(ours, "x"))) end)
        local Trap = { __index = function() error("its own code ran") end, __tostring = function() return "a trap" end }
        app:get("/trap", function(req)
            local all = pcall(mg.all, function() error(setmetatable({}, Trap)) end)
            return tostring(all)
        end)
        app:get("/self", function(req)
            local handle
            handle = mg.spawn(function() handle:join() end)
            return tostring(select(2, handle:join()))
        end)
        app:get("/ok", function(req) return "ok" end)
    ]]

    for _, target in ipairs { "/sort", "/nested" } do
        it("forgets a wait that was refused, and caught: " .. target, function()
            assert.matches("^cannot wait inside a callback of a C function", ask("GET", target).body)
            local limit = process.now() + 0.04
            repeat ask("GET", "/ok") until process.now() > limit -- what it had waited for comes while nobody waits
            local c, other = s.server:connect(), s.server:connect()
            c:send("GET /pause HTTP/1.1\r\nHost: a\r\n\r\n")
            other:send("GET /pause HTTP/1.1\r\nHost: a\r\n\r\n")
            for _ = 1, 20 do assert.equal("ok", ask("GET", "/ok").body) end
            assert.equal("whole", c:read().body)
            assert.equal("whole", other:read().body)
        end)
    end

    it("lets no script resume a coroutine that it runs", function()
        local c = s.server:connect()
        c:send("GET /running HTTP/1.1\r\nHost: a\r\n\r\n")
        local body
        repeat body = ask("GET", "/resume").body until body:match("^true")
        assert.matches("the gateway runs it", body)
        assert.equal("mine", c:read().body)
    end)

    it("outlives an error value with code of its own", function()
        assert.equal("false", ask("GET", "/trap").body)
        assert.equal("ok", ask("GET", "/ok").body)
    end)

    it("refuses a task that waits for its own end", function() assert.matches("cannot wait for its own end", ask("GET", "/self").body) end)
end)
