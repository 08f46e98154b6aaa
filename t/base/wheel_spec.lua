--- The timer wheel against a plain model: a list sorted by tick and by order of insertion.
local ffi = require "ffi"
local c = require "t.support.c"
c.header("base/wheel.h")
local lib = c.lib()

local NODES = 4096
local wheel = ffi.new("struct wheel")
local nodes = ffi.new("struct wheel_node[?]", NODES)

local function start(now)
    ffi.fill(nodes, ffi.sizeof("struct wheel_node") * NODES)
    lib.wheel_init(wheel, now)
end

--- Numbers of the nodes that are due, in the order in which they come out.
local function fired()
    local list = {}
    while true do
        local node = lib.wheel_expired(wheel)
        if node == nil then return list end
        list[#list + 1] = tonumber(node - nodes)
    end
end

local function next_stop()
    local ticks = lib.wheel_next(wheel)
    return ticks ~= 0xffffffffffffffffULL and tonumber(ticks) or nil
end

local function random(seed)
    local state = seed
    return function(below)
        state = (state * 1103515245 + 12345) % 2147483648
        return math.floor(state / 65536) % below
    end
end

describe("the timer wheel", function()
    it("is empty at first", function()
        start(1000)
        assert.is_nil(next_stop())
        lib.wheel_advance(wheel, 1e6)
        assert.same({}, fired())
    end)

    it("fires at once what is due now or earlier", function()
        start(1000)
        lib.wheel_insert(wheel, nodes[0], 1000)
        lib.wheel_insert(wheel, nodes[1], 3)
        assert.equal(0, next_stop())
        assert.same({ 0, 1 }, fired())
        assert.is_nil(next_stop())
    end)

    -- Both sides of each edge: of a slot, of a level and of the whole wheel, seen from the edges of each.
    for _, from in ipairs { 0, 1, 62, 63, 64, 4095, 4096, 262143, 2 ^ 30 - 1, 2 ^ 30, 2 ^ 36 - 1, 2 ^ 36, 2 ^ 41 + 12345 } do
        it("fires at its tick and not one before, from tick " .. from, function()
            for power = 0, 40 do
                for _, ahead in ipairs { 2 ^ power - 1, 2 ^ power, 2 ^ power + 1 } do
                    if ahead > 0 then
                        start(from)
                        lib.wheel_insert(wheel, nodes[0], from + ahead)
                        lib.wheel_advance(wheel, from + ahead - 1)
                        assert.same({}, fired())
                        assert.equal(1, next_stop())
                        lib.wheel_advance(wheel, from + ahead)
                        assert.same({ 0 }, fired())
                        assert.is_nil(next_stop())
                    end
                end
            end
        end)

        it("reaches a node by its own stops alone, none of them late, from tick " .. from, function()
            for power = 0, 40 do
                start(from)
                local due, now, stops = from + 2 ^ power + 5, from, 0
                lib.wheel_insert(wheel, nodes[0], due)
                while now < due do
                    local step = next_stop()
                    assert.is_true(step > 0 and now + step <= due)
                    now, stops = now + step, stops + 1
                    lib.wheel_advance(wheel, now)
                end
                assert.same({ 0 }, fired())
                assert.is_true(stops <= 64)
            end
        end)
    end

    it("keeps the order of insertion within a tick, through all levels", function()
        for _, due in ipairs { 5, 64, 100, 4096, 70000, 2 ^ 24, 2 ^ 35 } do
            start(0)
            for i = 0, 9 do
                lib.wheel_insert(wheel, nodes[i], due)
                lib.wheel_advance(wheel, math.floor(due * (i + 1) / 11))
            end
            lib.wheel_advance(wheel, due)
            assert.same({ 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 }, fired())
        end
    end)

    it("fires in the order of time what a long sleep has made overdue together", function()
        start(0)
        local dues = { 100, 10, 90, 5000, 4100, 63, 64, 300000 }
        for i, due in ipairs(dues) do lib.wheel_insert(wheel, nodes[i], due) end
        lib.wheel_advance(wheel, 1e6)
        assert.same({ 2, 6, 7, 3, 1, 5, 4, 8 }, fired())
    end)

    it("forgets a node that is removed, wherever it stands", function()
        for _, due in ipairs { 0, 1, 63, 64, 5000, 2 ^ 20, 2 ^ 38 } do
            start(0)
            for i = 0, 2 do lib.wheel_insert(wheel, nodes[i], due) end
            for i = 0, 2 do lib.wheel_remove(wheel, nodes[i]) end
            lib.wheel_remove(wheel, nodes[1])
            assert.is_nil(next_stop())
            lib.wheel_insert(wheel, nodes[1], due)
            lib.wheel_advance(wheel, due)
            assert.same({ 1 }, fired())
        end
    end)

    it("forgets a node that is due and not taken out yet", function()
        start(0)
        for i = 0, 2 do lib.wheel_insert(wheel, nodes[i], 7) end
        lib.wheel_advance(wheel, 9)
        lib.wheel_remove(wheel, nodes[1])
        assert.same({ 0, 2 }, fired())
    end)

    it("does not go back in time", function()
        start(500)
        lib.wheel_insert(wheel, nodes[0], 600)
        lib.wheel_advance(wheel, 100)
        assert.equal(500, tonumber(wheel.now))
        lib.wheel_advance(wheel, 600)
        assert.same({ 0 }, fired())
    end)

    for seed = 1, 8 do
        it("agrees with a sorted list under random use, seed " .. seed, function()
            local pick = random(seed)
            local now, count, order, running = 2 ^ (5 * seed) - 3, 0, {}, {}
            start(now)
            for _ = 1, 600 do
                for _ = 1, pick(8) do
                    local id = pick(NODES)
                    if running[id] then
                        lib.wheel_remove(wheel, nodes[id])
                        running[id] = nil
                    else
                        count = count + 1
                        running[id], order[id] = now + pick(2 ^ (1 + pick(14))) * (pick(4) == 0 and 4099 or 1), count
                        lib.wheel_insert(wheel, nodes[id], running[id])
                    end
                end
                now = now + (pick(9) == 0 and pick(30000) * 37 or pick(70))
                lib.wheel_advance(wheel, now)
                local expected = {}
                for id, due in pairs(running) do if due <= now then expected[#expected + 1] = id end end
                -- What was due when it was inserted stands before what time has brought since.
                table.sort(expected, function(a, b)
                    if running[a] ~= running[b] then return running[a] < running[b] end
                    return order[a] < order[b]
                end)
                assert.same(expected, fired())
                for _, id in ipairs(expected) do running[id] = nil end
            end
        end)
    end
end)
