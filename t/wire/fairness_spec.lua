--- Tasks that never wait share the worker with requests.
local served = require("t.support.served").by

describe("tasks that make tasks without end", function()
    local ask = served [[
        local going, made = false, 0
        local function again()
            made = made + 1
            if going then mg.spawn(again) end
        end
        app:get("/go", function(req) going = true; mg.spawn(again) mg.spawn(again) return "going" end)
        app:get("/stop", function(req) going = false; return tostring(made) end)
        app:get("/made", function(req) return tostring(made) end)
        app:get("/pause", function(req) mg.sleep("20ms") return "rested" end)
        app:post("/echo", function(req) return (req:text()) end)
    ]]

    it("leave requests, waits and content their share", function()
        assert.equal("going", ask("GET", "/go").body)
        local before = tonumber(ask("GET", "/made").body)
        assert.equal("rested", ask("GET", "/pause").body)
        assert.equal(("x"):rep(100000), ask("POST", "/echo", nil, ("x"):rep(100000)).body)
        local after = tonumber(ask("GET", "/stop").body)
        assert.is_true(after > before + 100, "the tasks have stood still")
    end)
end)

describe("os.exit in a handler", function()
    local ask, s = served [[
        app:get("/exit", function(req) os.exit(0) end)
        app:get("/required", function(req) require("os").exit(1) end)
        app:get("/alive", function(req) return tostring(mg.worker()) end)
    ]]

    it("is an error with its line, and ends no worker", function()
        local workers = s.server:workers()
        assert.equal(500, ask("GET", "/exit").status)
        assert.equal(500, ask("GET", "/required").status)
        assert.equal(200, ask("GET", "/alive").status)
        assert.same(workers, s.server:workers())
        s.server:wait_log("app%.lua:1: os%.exit%(%) would end the whole worker: return an answer, or raise an error")
        s.server:wait_log("app%.lua:2: os%.exit%(%) would end the whole worker")
    end)
end)
