--- Memory that grows in place.
local ffi = require "ffi"
local c = require "t.support.c"
c.header("base/reserve.h")
local lib = c.lib()

local PAGE = 4096

describe("a reserve", function()
    local r
    before_each(function() r = ffi.new("struct reserve") end)
    after_each(function() lib.reserve_fini(r) end)

    local function bytes() return ffi.cast("uint8_t *", r.at) end

    it("is zero, usable as far as was asked, and stays where it is when it grows", function()
        assert.equal(0, lib.reserve_init(r, 10000, 2 ^ 30))
        local at = bytes()
        assert.equal(3 * PAGE, tonumber(r.usable))
        assert.equal(0, at[0] + at[9999] + at[3 * PAGE - 1])
        at[9999] = 7
        assert.equal(0, lib.reserve_grow(r, 2 ^ 24))
        assert.equal(at, bytes())
        assert.equal(7, at[9999])
        assert.equal(0, at[2 ^ 24 - 1])
        at[2 ^ 24 - 1] = 1
    end)

    it("grows to its most and no further, and never shrinks", function()
        assert.equal(0, lib.reserve_init(r, PAGE, 4 * PAGE))
        assert.equal(0, lib.reserve_grow(r, 4 * PAGE))
        assert.equal(-12, lib.reserve_grow(r, 4 * PAGE + 1))
        assert.equal(0, lib.reserve_grow(r, 1))
        assert.equal(4 * PAGE, tonumber(r.usable))
        bytes()[4 * PAGE - 1] = 1
    end)

    it("is refused when there is no such space, and ends twice without harm", function()
        assert.equal(-12, lib.reserve_init(r, 2 ^ 60, 2 ^ 60))
        lib.reserve_fini(r)
        assert.equal(0, tonumber(r.most))
        assert.equal(0, lib.reserve_init(r, PAGE, 2 ^ 60))
        assert.equal(PAGE, tonumber(r.most)) -- no space for more: what is needed now is there
        assert.equal(-12, lib.reserve_grow(r, 2 * PAGE))
        lib.reserve_fini(r)
    end)
end)
