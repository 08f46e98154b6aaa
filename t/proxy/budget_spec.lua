local ffi = require "ffi"
local c = require "t.support.c"
c.header("proxy/budget.h")
local lib = c.lib()

describe("the budget of what is sent again", function()
    local budget
    before_each(function() budget = ffi.new("struct budget") end)

    local function take(now, most)
        local count = 0
        while count < most and lib.budget_take(budget, now) == 1 do count = count + 1 end
        return count
    end

    it("has ten at first, and ten more each second, which are not saved up", function()
        assert.equal(10, take(1000, 100))
        assert.equal(0, take(1050, 100))
        assert.equal(1, take(1100, 100))
        assert.equal(10, take(60000, 100))
    end)

    it("earns its share of the requests", function()
        assert.equal(10, take(1000, 100))
        for _ = 1, 100 do lib.budget_earn(budget, 200, 1000) end
        assert.equal(20, take(1000, 100))
        for _ = 1, 100 do lib.budget_earn(budget, 0, 1000) end
        assert.equal(0, take(1000, 100))
    end)

    it("loses what it has earned over ten seconds", function()
        for _ = 1, 1000 do lib.budget_earn(budget, 1000, 1000) end
        assert.equal(510, take(6000, 10000))
        for _ = 1, 1000 do lib.budget_earn(budget, 1000, 6000) end
        assert.equal(10, take(16000, 10000))
    end)
end)
