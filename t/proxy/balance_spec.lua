local ffi = require "ffi"
local c = require "t.support.c"
c.header("proxy/balance.h")
local lib = c.lib()

--- Seats with those weights, all of them usable. `loads[i]` is the load of seat i, from 0.
local function table_of(kind, ...)
    local weights = { ... }
    local b, loads = ffi.new("struct balance"), ffi.new("struct balance_load[64]")
    b.kind, b.chance = ffi.C["BALANCE_" .. kind], 42
    for i, weight in ipairs(weights) do
        local name = "server " .. i
        b.seats[i - 1].load, b.seats[i - 1].name, b.seats[i - 1].weight = loads + (i - 1), lib.balance_hash(name, #name), weight * 100
    end
    b.usable = #weights == 64 and -1ULL or bit.lshift(1ULL, #weights) - 1
    b.healthy, b.spare = b.usable, b.usable
    lib.balance_prepare(b)
    if kind == "HASH" then assert.equal(0, lib.balance_place(b)) end
    return b, loads
end

local function picks(b, times, out, now)
    local letters = {}
    for i = 1, times do
        local seat = lib.balance_pick(b, out or 0ULL, 0, now or 0)
        letters[i] = seat < 0 and "-" or string.char(97 + seat)
    end
    return table.concat(letters)
end

--- How often each seat is picked, by number from 0, with a key of its own for each pick.
local function counts(b, times, out)
    local seen = {}
    for i = 1, times do
        local key = "key " .. i
        local seat = lib.balance_pick(b, out or 0ULL, b.kind == ffi.C.BALANCE_HASH and lib.balance_hash(key, #key) or 0, 0)
        seen[seat] = (seen[seat] or 0) + 1
    end
    return seen
end

--- All counts lie within `share` of what the weights ask for.
local function assert_fair(weights, seen, times, share)
    local sum = 0
    for _, weight in ipairs(weights) do sum = sum + weight end
    for i, weight in ipairs(weights) do
        local wanted, got = times * weight / sum, seen[i - 1] or 0
        assert.is_true(math.abs(got - wanted) <= wanted * share, ("seat %d: %d, wanted about %d"):format(i - 1, got, wanted))
    end
end

describe("round robin", function()
    it("takes turns when the weights are equal", function()
        assert.equal("abcabcabc", picks(table_of("ROUND", 1, 1, 1), 9))
    end)

    it("spreads the turns of a heavy server evenly", function()
        assert.equal("aabacaa" .. "aabacaa", picks(table_of("ROUND", 5, 1, 1), 14))
    end)

    it("gives each server its weight out of the sum", function()
        assert.same({ [0] = 700, 200, 100 }, counts(table_of("ROUND", 7, 2, 1), 1000))
    end)
end)

describe("any balance", function()
    for _, kind in ipairs { "P2C", "LEAST", "ROUND", "HASH", "RANDOM" } do
        it(kind .. " never gives a seat that was tried, and says when none is left", function()
            local b = table_of(kind, 1, 1, 1)
            for i, seen in pairs(counts(b, 300, 2ULL)) do assert.is_true(i ~= 1 and seen > 0) end
            assert.equal("ccc", picks(b, 3, 3ULL))
            assert.equal("---", picks(b, 3, 7ULL))
        end)

        it(kind .. " uses the spare ones when all usable ones were tried", function()
            local b = table_of(kind, 1, 1, 1)
            b.usable, b.healthy = 1ULL, 1ULL
            lib.balance_prepare(b)
            assert.equal("aaaa", picks(b, 4))
            assert.is_nil(picks(b, 20, 1ULL):find("a", 1, true))
        end)

        it(kind .. " takes no risk after a failure: of those used in need, healthy ones come first", function()
            local b = table_of(kind, 1, 1, 1)
            b.healthy = 4ULL
            assert.equal("cccccccc", picks(b, 8, 1ULL))
            assert.equal("bbbb", picks(b, 4, 5ULL))
        end)

        it(kind .. " copes with 64 seats and with one", function()
            local weights = {}
            for i = 1, 64 do weights[i] = i end
            local b = table_of(kind, unpack(weights))
            for seat in pairs(counts(b, 2000)) do assert.is_true(seat >= 0 and seat < 64) end
            assert.equal("aaa", picks(table_of(kind, 1000), 3))
        end)

        it(kind .. " says the whole order, each seat once, and takes no turn", function()
            local b = table_of(kind, 3, 1, 2)
            local order, seen = ffi.new("uint32_t[64]"), {}
            for _ = 1, 3 do assert.equal(3, lib.balance_order(b, 77, 0, order)) end
            for i = 0, 2 do seen[order[i]] = true end
            assert.same({ [0] = true, true, true }, seen)
        end)
    end

    for _, kind in ipairs { "RANDOM", "P2C" } do
        it(kind .. " shares by weight when all answer alike", function()
            for _, weights in ipairs { { 1, 1, 1, 1 }, { 5, 3, 2 }, { 1000, 500 }, { 9, 1 } } do
                assert_fair(weights, counts(table_of(kind, unpack(weights)), 30000), 30000, 0.06)
            end
        end)
    end
end)

describe("least connections", function()
    it("picks the one with the fewest requests for its weight", function()
        local b, loads = table_of("LEAST", 1, 2, 1)
        loads[0].in_flight, loads[1].in_flight, loads[2].in_flight = 3, 5, 4
        assert.equal("b", picks(b, 1))
        loads[1].in_flight = 8
        assert.equal("a", picks(b, 1))
    end)

    it("spreads what it holds by weight", function()
        local b, loads = table_of("LEAST", 4, 2, 1)
        for _ = 1, 700 do
            local seat = lib.balance_pick(b, 0, 0, 0)
            loads[seat].in_flight = loads[seat].in_flight + 1
        end
        for i, wanted in ipairs { 400, 200, 100 } do assert.is_true(math.abs(loads[i - 1].in_flight - wanted) <= 2) end
    end)

    it("does not prefer any of those that are equal", function()
        assert_fair({ 1, 1, 1 }, counts(table_of("LEAST", 1, 1, 1), 9000), 9000, 0.08)
    end)
end)

describe("p2c", function()
    it("keeps the load of servers near each other without looking at all of them", function()
        local b, loads = table_of("P2C", 1, 1, 1, 1, 1, 1, 1, 1)
        for _ = 1, 8000 do
            local seat = lib.balance_pick(b, 0, 0, 0)
            loads[seat].in_flight = loads[seat].in_flight + 1
        end
        for i = 0, 7 do assert.is_true(math.abs(loads[i].in_flight - 1000) < 120, tostring(loads[i].in_flight)) end
    end)

    it("keeps away from a server that has become slow, and comes back to it in time", function()
        local b, loads = table_of("P2C", 1, 1)
        for _ = 1, 50 do
            lib.balance_answered(b, loads + 0, 10, 0)
            lib.balance_answered(b, loads + 1, 10, 0)
        end
        lib.balance_answered(b, loads + 0, 500, 1)
        assert.equal(500, loads[0].latency_ms) -- at once
        assert.is_nil(picks(b, 100, 0ULL, 1):find("a", 1, true))
        lib.balance_answered(b, loads + 1, 10, 10 * 60000)
        assert.is_truthy(picks(b, 100, 0ULL, 10 * 60000):find("a", 1, true)) -- nothing was heard of it for so long
        for _ = 1, 200 do lib.balance_answered(b, loads + 0, 10, 2) end
        assert.is_true(loads[0].latency_ms < 11)
        assert.is_truthy(picks(b, 100, 0ULL, 2):find("a", 1, true))
    end)

    it("takes a server that it knows nothing of for an average one, and does not flood it", function()
        local b, loads = table_of("P2C", 1, 1)
        for _ = 1, 300 do lib.balance_answered(b, loads + 0, 20, 0) end
        local last = 0
        for _ = 1, 40 do
            last = lib.balance_pick(b, 0, 0, 0)
            loads[last].in_flight = loads[last].in_flight + 1
        end
        assert.is_true(loads[1].in_flight < 28, tostring(loads[1].in_flight))
    end)

    it("is seeded: two views of the same servers do not move in step", function()
        local one, other = table_of("P2C", 1, 1, 1, 1), (table_of("P2C", 1, 1, 1, 1))
        other.chance = 43
        assert.is_true(picks(one, 64) ~= picks(other, 64))
    end)
end)

describe("hash", function()
    local function homes(b, out)
        local list = {}
        for i = 1, 5000 do
            local key = "user-" .. i
            list[i] = lib.balance_pick(b, out or 0ULL, lib.balance_hash(key, #key), 0)
        end
        return list
    end

    it("gives a key the same server every time, whatever is in flight", function()
        local b, loads = table_of("HASH", 1, 1, 1)
        local before = homes(b)
        loads[0].in_flight = 1000
        assert.same(before, homes(b))
    end)

    it("spreads keys by weight", function()
        assert_fair({ 1, 1, 1, 1, 1 }, counts(table_of("HASH", 1, 1, 1, 1, 1), 20000), 20000, 0.06)
        assert_fair({ 4, 2, 1 }, counts(table_of("HASH", 4, 2, 1), 20000), 20000, 0.06)
    end)

    it("fills its table to the last place, each server with its share", function()
        local b, seen = table_of("HASH", 3, 1), { [0] = 0, 0 }
        for i = 0, 65536 do seen[b.table[i]] = seen[b.table[i]] + 1 end
        assert.equal(65537, seen[0] + seen[1])
        assert.is_true(math.abs(seen[1] - 65537 / 4) < 20)
    end)

    it("moves only the keys of a server that is out, and spreads those over the others", function()
        local b = table_of("HASH", 1, 1, 1, 1)
        local before = homes(b)
        b.usable, b.healthy = 0xbULL, 0xbULL -- without seat 2
        lib.balance_prepare(b)
        local after, moved = homes(b), {}
        for i, home in ipairs(before) do
            if home ~= 2 then assert.equal(home, after[i]) else moved[after[i]] = (moved[after[i]] or 0) + 1 end
        end
        assert.is_nil(moved[2])
        for _, seat in ipairs { 0, 1, 3 } do assert.is_true(moved[seat] > 250) end
    end)

    it("moves few keys when a server comes to stay, and none for the seat that it takes", function()
        local three, four = table_of("HASH", 1, 1, 1), (table_of("HASH", 1, 1, 1, 1))
        local before, after, moved = homes(three), homes(four), 0
        for i, home in ipairs(before) do
            if home ~= after[i] and after[i] ~= 3 then moved = moved + 1 end
        end
        assert.is_true(moved < 5000 * 0.08, tostring(moved))
        local turned = table_of("HASH", 1, 1, 1) -- the same servers, seated the other way round
        turned.seats[0].name, turned.seats[2].name = turned.seats[2].name, turned.seats[0].name
        assert.equal(0, lib.balance_place(turned))
        for i, home in ipairs(homes(turned)) do assert.equal(2 - before[i], home) end
    end)

    it("without a key goes where there is least to do", function()
        local b, loads = table_of("HASH", 1, 1)
        loads[0].in_flight = 50
        assert.equal("bbbbbbbb", picks(b, 8))
    end)
end)

describe("a key of a single request", function()
    it("decides in any balance, and moves only when its server is out", function()
        local b = table_of("P2C", 1, 1, 1, 1)
        local seen = {}
        for i = 1, 400 do
            local key = lib.balance_hash("k" .. i, #("k" .. i))
            local home = lib.balance_pick(b, 0, key, 0)
            assert.equal(home, lib.balance_pick(b, 0, key, 0))
            for other = 0, 3 do
                if other ~= home then assert.equal(home, lib.balance_pick(b, bit.lshift(1ULL, other), key, 0)) end
            end
            seen[home] = (seen[home] or 0) + 1
        end
        for seat = 0, 3 do assert.is_true(seen[seat] > 60) end
    end)
end)

describe("the hash of a key", function()
    it("is 0 for no bytes alone, and differs by length and by each bit", function()
        assert.equal(0, tonumber(lib.balance_hash("", 0)))
        local seen = {}
        local function once(text)
            local hash = tostring(lib.balance_hash(text, #text))
            assert.is_nil(seen[hash])
            seen[hash] = true
        end
        for n = 1, 40 do once(("\0"):rep(n)) end
        for i = 1, 20 do
            for b = 0, 7 do once(("x"):rep(i - 1) .. string.char(2 ^ b) .. ("x"):rep(20 - i)) end
        end
    end)
end)
