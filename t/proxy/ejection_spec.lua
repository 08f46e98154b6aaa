--- How long a server stands aside, and what brings it back. Time is an argument.
local ffi = require "ffi"
local c = require "t.support.c"
c.header("proxy/ejection.h")
local lib = c.lib()

local function fresh() return ffi.new("struct ejection") end
local function out(e, now) return lib.ejection_is_out(e, now) == 1 end

describe("a server that cannot be connected to", function()
    it("stands aside for a second, and then one request tries it while the others keep away", function()
        local e = fresh()
        assert.equal(1, lib.ejection_connect_failed(e, 100))
        assert.same({ true, false }, { out(e, 1099), out(e, 1100) })
        assert.equal(1, lib.ejection_try(e, 1100))
        assert.same({ true, false }, { out(e, 6099), out(e, 6100) })
        assert.equal(0, lib.ejection_try(e, 2000)) -- one tries it already
        assert.equal(1, lib.ejection_connected(e, 2001))
        assert.is_false(out(e, 2001))
        assert.equal(0, lib.ejection_connected(e, 2002))
    end)

    it("stands aside twice as long after each further failure, at most 30 seconds", function()
        local e, now = fresh(), 0
        for _, seconds in ipairs { 1, 2, 4, 8, 16, 30, 30, 30 } do
            lib.ejection_connect_failed(e, now)
            assert.same({ true, false }, { out(e, now + seconds * 1000 - 1), out(e, now + seconds * 1000) })
            now = now + seconds * 1000
            lib.ejection_try(e, now)
        end
    end)

    it("is counted once for all requests that fail at the same time", function()
        local e = fresh()
        for _ = 1, 50 do lib.ejection_connect_failed(e, 10) end
        assert.equal(1, e.connects)
        assert.is_false(out(e, 1010))
    end)

    it("begins anew after it has let somebody in", function()
        local e = fresh()
        lib.ejection_connect_failed(e, 0)
        lib.ejection_try(e, 1000)
        lib.ejection_connect_failed(e, 1000)
        lib.ejection_try(e, 3000)
        lib.ejection_connected(e, 3000)
        lib.ejection_connect_failed(e, 9000)
        assert.same({ true, false }, { out(e, 9999), out(e, 10000) })
    end)
end)

describe("a server whose answers fail", function()
    local policy = ffi.new("struct ejection_policy", { errors = 3, ms = 1000, max_ms = 2500 })

    local function fail(e, times, now)
        local last
        for _ = 1, times do last = lib.ejection_answer_failed(e, policy, now) end
        return last
    end

    it("is put aside by the last of so many in a row, and not before", function()
        local e = fresh()
        assert.equal(0, fail(e, 2, 0))
        lib.ejection_answered(e)
        assert.equal(0, fail(e, 2, 0))
        assert.equal(1, fail(e, 1, 0))
        assert.same({ true, false, 0 }, { out(e, 999), out(e, 1000), e.hard })
    end)

    it("stands aside longer each time, up to a bound", function()
        local e, now = fresh(), 0
        for _, ms in ipairs { 1000, 2000, 2500, 2500 } do
            assert.equal(1, fail(e, 3, now))
            assert.same({ true, false }, { out(e, now + ms - 1), out(e, now + ms) })
            now = now + ms
        end
    end)

    it("is forgiven one time for each while that it behaved", function()
        local e = fresh()
        fail(e, 3, 0)
        fail(e, 3, 1000) -- the second time: until 3000
        assert.equal(2, e.times)
        fail(e, 3, 3000 + 2001)
        assert.equal(2, e.times) -- one forgotten, one more
        fail(e, 3, 1000000)
        assert.equal(1, e.times)
    end)

    it("is never put aside without a policy", function()
        local e, none = fresh(), ffi.new("struct ejection_policy")
        for _ = 1, 100 do assert.equal(0, lib.ejection_answer_failed(e, none, 0)) end
    end)

    it("that cannot be connected to meanwhile is left alone, also in need", function()
        local e = fresh()
        fail(e, 3, 0)
        assert.equal(1, lib.ejection_connect_failed(e, 10))
        assert.equal(1, e.hard)
    end)
end)
