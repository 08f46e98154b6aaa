local ffi = require "ffi"
local c = require "t.support.c"
c.header("proxy/balance.h")
local lib = c.lib()

local function servers(...)
    local weights = { ... }
    local set = ffi.new("struct balance[?]", #weights)
    for i, weight in ipairs(weights) do set[i - 1].weight = weight end
    return set, #weights
end

local function picks(set, count, times, now, tried)
    local letters = {}
    for i = 1, times do
        local index = lib.balance_pick(set, count, tried or 0ULL, now or 0)
        letters[i] = index < 0 and "-" or string.char(97 + index)
    end
    return table.concat(letters)
end

describe("balance", function()
    it("takes turns when the weights are equal", function()
        local set, count = servers(1, 1, 1)
        assert.equal("abcabcabc", picks(set, count, 9))
    end)

    it("spreads the turns of a heavy server evenly", function()
        local set, count = servers(5, 1, 1)
        assert.equal("aabacaa" .. "aabacaa", picks(set, count, 14))
    end)

    it("gives each server its weight out of the sum", function()
        local set, count = servers(7, 2, 1)
        local text = picks(set, count, 1000)
        local _, a = text:gsub("a", "")
        local _, b = text:gsub("b", "")
        assert.same({ 700, 200, 100 }, { a, b, 1000 - a - b })
    end)

    it("never gives a server that was tried, and says when none is left", function()
        local set, count = servers(1, 1, 1)
        assert.equal("acacac", picks(set, count, 6, 0, 2ULL))
        assert.equal("---", picks(set, count, 3, 0, 7ULL))
    end)

    it("passes over a failed server for a second, and then tries it with one request", function()
        local set, count = servers(1, 1)
        lib.balance_fail(set + 0, 0)
        assert.equal("bbb", picks(set, count, 3, 999))
        local text = picks(set, count, 6, 1000)
        local _, trials = text:gsub("a", "")
        assert.equal(1, trials)
        lib.balance_ok(set + 0)
        assert.equal(0, set[0].failures)
        local _, after = picks(set, count, 10, 1001):gsub("a", "")
        assert.equal(5, after)
    end)

    it("waits twice as long after each further failure, up to 30 seconds", function()
        local set, count = servers(1, 1)
        local now, waits = 0, {}
        for i = 1, 7 do
            lib.balance_fail(set + 0, now)
            waits[i] = set[0].down_until_ms - now
            now = set[0].down_until_ms
            while picks(set, count, 1, now) ~= "a" do end
        end
        assert.same({ 1000, 2000, 4000, 8000, 16000, 30000, 30000 }, waits)
    end)

    it("counts many failures at once as one", function()
        local set = servers(1, 1)
        for _ = 1, 50 do lib.balance_fail(set + 0, 10) end
        assert.equal(1, set[0].failures)
        assert.equal(1010, set[0].down_until_ms)
    end)

    it("gives the one that may come back first when all have failed", function()
        local set, count = servers(1, 1, 1)
        lib.balance_fail(set + 0, 30)
        lib.balance_fail(set + 1, 10)
        lib.balance_fail(set + 2, 20)
        assert.equal("bbb", picks(set, count, 3, 40))
        assert.equal("c", picks(set, count, 1, 40, 2ULL))
    end)
end)
