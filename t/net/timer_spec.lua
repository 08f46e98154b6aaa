--- The engine's timers: never early, in order, gone when stopped, and a hundred thousand of them.
local engine = require "t.net.engine"
local lib = engine.lib

describe("a timer", function()
    local e
    before_each(function() e = engine.new() end)
    after_each(engine.sweep)

    local function start(ms, user, token) return lib.net_timer_start(e.net, ms, user or 0, token or 0) end

    it("brings back its user and its token", function()
        start(1, 4000000000, 2 ^ 52 + 1)
        local event = e:expect("timer")
        assert.equal(4000000000, event.user)
        assert.equal(2 ^ 52 + 1, event.token)
        assert.equal(0, e:facts().timers)
    end)

    it("is never early, and comes", function()
        for _, ms in ipairs { 0.1, 1, 1.5, 7, 20.25, 64, 65, 130 } do
            e:turn()
            local worked = os.clock()
            while os.clock() - worked < 0.004 do end -- the turn's clock is behind by now
            local before = engine.clock_ms()
            start(ms, 1)
            e:expect("timer")
            local after = engine.clock_ms() - before
            assert.is_true(after >= ms, ("%g ms came after %g"):format(ms, after))
            assert.is_true(after < ms + 500, ("%g ms came after %g"):format(ms, after))
        end
    end)

    it("of no time is due in the next turn, without sleep", function()
        for _, ms in ipairs { 0, -5, 0 / 0 } do
            start(ms, 3)
            assert.equal(1, e:turn(1))
        end
    end)

    it("fires in the order of time, and in the order of starting at one instant", function()
        local dues, expected = { 9, 3, 30, 3.01, 0, 12, 70, 0 }, { 5, 8 }
        for i, ms in ipairs(dues) do start(ms, i) end
        for i = 100, 199 do start(0, i) end
        local from = engine.clock_ms()
        while engine.clock_ms() - from < 90 do end -- all are overdue together
        e:turn(1)
        for i = 100, 199 do expected[#expected + 1] = i end
        for _, i in ipairs { 2, 4, 1, 6, 3, 7 } do expected[#expected + 1] = i end
        local order = {}
        for i, event in ipairs(e.events) do order[i] = event.user end
        assert.same(expected, order)
    end)

    it("that is stopped does not fire, at any moment before its event", function()
        local handle = start(5)
        lib.net_timer_stop(e.net, handle)
        lib.net_timer_stop(e.net, handle)
        e:run_ms(15)
        local first, second = start(0, 11), start(0, 12)
        assert(lib.net_turn(e.net, 1) == 0) -- both are recorded
        lib.net_timer_stop(e.net, second)
        assert.equal(11, e:take().user)
        assert.is_nil(e:take())
        lib.net_timer_stop(e.net, first)
        assert.equal(0, e:facts().timers)
    end)

    it("leaves its handle to nobody: stopping it late does not stop another", function()
        local old = start(0, 1)
        e:expect("timer")
        local new = start(1, 2)
        assert.are_not.equal(old, new)
        lib.net_timer_stop(e.net, old)
        lib.net_timer_stop(e.net, -1)
        lib.net_timer_stop(e.net, 2 ^ 31 - 1)
        assert.equal(2, e:expect("timer").user)
    end)

    it("can be started from another's event", function()
        local count = 0
        e.on = function(event)
            if event.kind == "timer" and event.user == 5 then
                count = count + 1
                if count < 20 then start(0, 5) end
            end
        end
        start(0, 5)
        e:run(function() return count == 20 end)
    end)

    it("far away does not keep the worker awake", function()
        start(1e15)
        start(86400000)
        local turns = tonumber(e:facts().turns)
        e:run_ms(150)
        assert.is_true(tonumber(e:facts().turns) - turns < 8)
        assert.equal(2, e:facts().timers)
    end)

    it("is refused beyond the bound, and room comes back", function()
        e = engine.new { timers = 3 }
        local handles = {}
        for i = 1, 3 do handles[i] = start(50000) end
        assert.equal(-105, start(1))
        lib.net_timer_stop(e.net, handles[2])
        assert.is_true(start(50000) >= 0)
        assert.equal(-105, start(1))
    end)

    it("is one of a hundred thousand, none lost, none early, none twice", function()
        local N = 100000
        local due, latest, seen, stopped, state = {}, {}, {}, 0, 7
        local function random(below)
            state = (state * 1103515245 + 12345) % 2147483648
            return math.floor(state / 65536) % below
        end
        local fired, last = 0, 0
        e.on = function(event)
            if event.kind ~= "timer" or event.user >= N then return end
            assert(not seen[event.user] and due[event.user], "twice, or after its stop")
            assert(lib.net_now_ms(e.net) >= due[event.user], "early")
            -- The engine read its clock between the two readings here, however long the machine was busy elsewhere.
            assert(latest[event.user] >= last - 1, "out of order")
            last = math.max(last, due[event.user])
            seen[event.user], fired = true, fired + 1
        end
        for i = 0, N - 1 do
            local ms = 1 + random(400)
            due[i] = engine.clock_ms() + ms
            local handle = start(ms, i)
            latest[i] = engine.clock_ms() + ms + 1
            assert(handle >= 0)
            if random(4) == 0 then
                lib.net_timer_stop(e.net, handle)
                due[i], stopped = nil, stopped + 1
            end
        end
        assert.equal(N - stopped, e:facts().timers)
        e:run(function()
            e.events = {}
            return fired == N - stopped
        end)
        e:run_ms(20)
        assert.equal(N - stopped, fired)
        assert.equal(0, e:facts().timers)
    end)
end)
