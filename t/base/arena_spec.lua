--- Arenas: alignment, growth within the bound, and everything back at the reset.
local ffi = require "ffi"
local c = require "t.support.c"
c.header("base/arena.h")
local lib = c.lib()

describe("an arena", function()
    local store, arena, first

    local function start(first_bytes, bytes_max)
        store = ffi.new("struct arena_store")
        store.bytes_max = bytes_max or 2 ^ 20
        first = ffi.new("double[?]", first_bytes / 8 + 1)
        arena = ffi.new("struct arena")
        lib.arena_init(arena, store, ffi.cast("char *", first), first_bytes)
    end
    local function used() return tonumber(store.bytes) end
    local function finish()
        lib.arena_reset(arena)
        assert.equal(0, used())
        lib.arena_store_fini(store)
    end
    local function is_in_first(at)
        local offset = tonumber(ffi.cast("char *", at) - ffi.cast("char *", first))
        return offset >= 0 and offset < ffi.sizeof(first)
    end

    it("gives its owner's page first, to the last byte", function()
        start(1024)
        for _ = 1, 128 do assert.is_true(is_in_first(lib.arena_get(arena, 8))) end
        assert.equal(0, used())
        assert.is_false(is_in_first(lib.arena_get(arena, 1)))
        assert.is_true(used() > 0)
        finish()
    end)

    it("gives memory that is aligned to 8 and overlaps nothing", function()
        start(256)
        local pieces = {}
        for i = 1, 400 do
            local bytes = i * 37 % 301
            local at = ffi.cast("uint8_t *", lib.arena_get(arena, bytes))
            assert.is_true(at ~= nil)
            assert.equal(0, tonumber(ffi.cast("uintptr_t", at) % 8))
            ffi.fill(at, bytes, i % 251)
            pieces[i] = { at = at, bytes = bytes }
        end
        for i, piece in ipairs(pieces) do
            for at = 0, piece.bytes - 1 do assert(piece.at[at] == i % 251) end
        end
        finish()
    end)

    it("gives a piece larger than a page", function()
        start(64)
        for _, bytes in ipairs { 8191, 8192, 8193, 100000 } do
            local at = lib.arena_get(arena, bytes)
            assert.is_true(at ~= nil)
            ffi.fill(at, bytes, 1)
        end
        finish()
    end)

    it("keeps to its store's bound, of which several arenas have their share", function()
        start(8, 3 * 8192)
        local other = ffi.new("struct arena")
        local page = ffi.new("double[1]")
        lib.arena_init(other, store, ffi.cast("char *", page), 8)
        assert.is_true(lib.arena_get(arena, 8192) ~= nil)
        assert.is_true(lib.arena_get(other, 8192) ~= nil)
        assert.is_true(lib.arena_get(other, 8192) ~= nil)
        assert.is_true(lib.arena_get(arena, 16) == nil)
        assert.is_true(lib.arena_get(other, 16) == nil)
        lib.arena_reset(other)
        assert.is_true(lib.arena_get(arena, 16385) == nil)
        assert.is_true(lib.arena_get(arena, 16) ~= nil)
        finish()
    end)

    it("survives refusals: what it gave stays, what fits is given", function()
        start(64, 8192)
        local kept = lib.arena_copy(arena, "kept", 4)
        assert.is_true(lib.arena_get(arena, 2 ^ 32 - 1) == nil)
        assert.is_true(lib.arena_get(arena, 8193) == nil)
        assert.equal("kept", ffi.string(kept, 4))
        assert.is_true(is_in_first(lib.arena_get(arena, 8)))
        finish()
    end)

    it("copies, also nothing", function()
        start(0)
        assert.is_true(lib.arena_copy(arena, "", 0) ~= nil)
        assert.equal("moon\0gate", ffi.string(lib.arena_copy(arena, "moon\0gate", 9), 9))
        finish()
    end)

    it("begins again in its owner's page", function()
        start(64)
        local one = lib.arena_get(arena, 16)
        lib.arena_get(arena, 5000)
        lib.arena_reset(arena)
        assert.is_true(one == lib.arena_get(arena, 16))
        finish()
    end)

    it("keeps a few pages for reuse", function()
        start(8)
        for _ = 1, 10 do assert.is_true(lib.arena_get(arena, 8192) ~= nil) end
        lib.arena_reset(arena)
        assert.equal(10, store.kept_count)
        assert.is_true(lib.arena_get(arena, 8192) ~= nil)
        assert.equal(9, store.kept_count)
        for _ = 1, 200 do assert.is_true(lib.arena_get(arena, 5000) ~= nil or used() > 2 ^ 20 - 8192) end
        finish()
    end)
end)
