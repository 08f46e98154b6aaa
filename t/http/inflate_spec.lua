local ffi = require "ffi"
local c = require "t.support.c"
local gzip = require "t.support.gzip"

c.header("http/inflate.h")
local lib = c.lib()
local EINVAL = 22

--- Inflates `data` given in pieces of `piece` bytes with `room` bytes for output: text and whether it is whole, or nil and the error.
local function inflate(data, options)
    local piece, room, kind = options.piece or #data, options.room or 4096, options.kind or 0
    local z = ffi.gc(lib.inflater_new(kind), lib.inflater_free)
    local out, used, done = ffi.new("char[?]", room), ffi.new("uint32_t[1]"), ffi.new("int32_t[1]")
    local made = {}
    for from = 1, #data, piece do
        local left = data:sub(from, from + piece - 1)
        repeat
            local count = lib.inflater_step(z, left, #left, used, out, room, done)
            if count < 0 then return nil, count end
            assert(count <= room)
            left = left:sub(used[0] + 1)
            made[#made + 1] = ffi.string(out, count)
        until #left == 0 and count < room
    end
    return table.concat(made), done[0] == 1
end

local text = ("Moongate %d "):rep(3000) .. "end"

describe("inflate", function()
    it("inflates gzip, zlib and raw deflate whole", function()
        for data, kind in pairs { [gzip.gzip(text)] = 0, [gzip.zlib(text)] = 0, [gzip.raw(text)] = 1 } do
            local made, whole = inflate(data, { kind = kind })
            assert.equal(text, made)
            assert.is_true(whole)
        end
    end)

    it("gives the same wherever input and room are cut", function()
        local data = gzip.gzip(text)
        for _, piece in ipairs { 1, 2, 3, 7, 18, 19, 50 } do
            for _, room in ipairs { 1, 5, 4096, 100000 } do
                local made, whole = inflate(data, { piece = piece, room = room })
                assert.equal(text, made)
                assert.is_true(whole)
            end
        end
    end)

    it("reads several gzip members as one content, cut anywhere", function()
        local data = gzip.gzip("one ") .. gzip.gzip("") .. gzip.gzip("three")
        for piece = 1, #data do
            local made, whole = inflate(data, { piece = piece })
            assert.equal("one three", made)
            assert.is_true(whole)
        end
    end)

    it("tells that a truncated stream is not whole, at every length", function()
        for _, data in ipairs { gzip.gzip("a short text"), gzip.zlib("a short text"), gzip.gzip("x") .. gzip.gzip("y") } do
            local first = #gzip.gzip("x")
            for bytes = 1, #data - 1 do
                local made, whole = inflate(data:sub(1, bytes), {})
                assert.is_string(made)
                if bytes ~= first then assert.is_false(whole) end
            end
        end
    end)

    it("refuses data of another kind, damaged data and a wrong checksum", function()
        local good = gzip.gzip(text)
        local damaged = good:sub(1, 14) .. "\255\255\255\255" .. good:sub(19)
        local checksum = good:sub(1, -9) .. "\0\0\0\0" .. good:sub(-4)
        local size = good:sub(1, -5) .. "\1\2\3\4"
        for _, data in ipairs { "plain text, no gzip", damaged, checksum, size, "\31\139\9" .. good:sub(4) } do
            local made, code = inflate(data, {})
            assert.is_nil(made)
            assert.equal(-EINVAL, code)
        end
    end)

    it("refuses bytes after the end: garbage after gzip, anything after zlib and raw deflate", function()
        local cases = {
            { gzip.gzip("x") .. "garbage", 0 }, { gzip.gzip("x") .. "\0", 0 }, { gzip.gzip("x") .. "\31garbage", 0 },
            { gzip.gzip("x") .. gzip.zlib("y"), 0 }, { gzip.zlib("x") .. gzip.gzip("y"), 0 }, { gzip.raw("x") .. "\31", 1 },
        }
        for _, case in ipairs(cases) do
            for _, piece in ipairs { 1, 1000 } do
                local made, code = inflate(case[1], { piece = piece, kind = case[2] })
                assert.is_nil(made)
                assert.equal(-EINVAL, code)
            end
        end
    end)

    it("stays broken after a failure", function()
        local z = ffi.gc(lib.inflater_new(0), lib.inflater_free)
        local out, used, done = ffi.new("char[64]"), ffi.new("uint32_t[1]"), ffi.new("int32_t[1]")
        assert.equal(-EINVAL, lib.inflater_step(z, "bad", 3, used, out, 64, done))
        local good = gzip.gzip("x")
        assert.equal(-EINVAL, lib.inflater_step(z, good, #good, used, out, 64, done))
    end)

    it("makes nothing of nothing, and is not whole then", function()
        local z = ffi.gc(lib.inflater_new(0), lib.inflater_free)
        local out, used, done = ffi.new("char[64]"), ffi.new("uint32_t[1]"), ffi.new("int32_t[1]", 7)
        assert.equal(0, lib.inflater_step(z, "", 0, used, out, 64, done))
        assert.equal(0, used[0])
        assert.equal(0, done[0])
    end)

    it("never makes more than its room, however far the content expands", function()
        local bomb = gzip.gzip(("\0"):rep(8 * 1024 * 1024))
        assert.is_true(#bomb < 16384)
        local z = ffi.gc(lib.inflater_new(0), lib.inflater_free)
        local out, used, done = ffi.new("char[1024]"), ffi.new("uint32_t[1]"), ffi.new("int32_t[1]")
        local left = bomb
        for _ = 1, 100 do
            assert.equal(1000, lib.inflater_step(z, left, #left, used, out, 1000, done))
            left = left:sub(used[0] + 1)
        end
        assert.is_true(#left > 0)
    end)

    it("frees NULL", function()
        lib.inflater_free(nil)
    end)
end)
