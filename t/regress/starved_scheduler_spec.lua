--- A worker ended with "not enough memory" of its own, once in about a hundred times: the hook that stops a script ran in the scheduler, whose
--- stack had to grow for it when the script had taken the last byte.
local served = require("t.support.served").by

describe("the scheduler", function()
    local ask, s = served([[
        app:get("/coroutines", function() local t = {} for i = 1, 4e5 do t[i] = coroutine.create(print) end return "whole" end)
        app:get("/table", function() local t = {} for i = 1, 4e6 do t[i] = { i } end return "whole" end)
        local site = app
        app = { app = site, limits = { lua_memory = "16m", handler_time = "20s" } }
    ]])

    it("has room for itself when a script has taken all there is", function()
        local workers = s.server:workers()
        for _ = 1, 100 do
            assert.equal(503, ask("GET", "/coroutines").status)
            assert.equal(503, ask("GET", "/table").status)
        end
        assert.same(workers, s.server:workers())
    end)
end)
