local c = require "t.support.c"
local gzip = require "t.support.gzip"

c.header("http/inflate.h")
local lib = c.lib()
local live = 0
package.loaded["moongate.abi"] = {
    C = {
        mg_inflater_new = function(kind) live = live + 1 return lib.inflater_new(kind) end,
        mg_inflater_step = function(...) return lib.inflater_step(...) end,
        mg_inflater_free = function(z) live = live - 1 lib.inflater_free(z) end,
    },
}
local inflate = require "moongate.inflate"

local function pieces_of(text, size)
    local at = 1
    return function()
        if at > #text then return nil end
        local piece = text:sub(at, at + size - 1)
        at = at + size
        return piece
    end
end

local function read_all(next_piece)
    local list = {}
    while true do
        local piece, message, status = next_piece()
        if status then return nil, message, status end
        if not piece then return table.concat(list) end
        assert.is_true(#piece > 0 and #piece <= 65536)
        list[#list + 1] = piece
    end
end

local text = ("the quick brown fox %d\n"):rep(20000)

describe("inflate", function()
    it("inflates gzip, zlib and raw deflate, whatever the chunks", function()
        for data, raw in pairs { [gzip.gzip(text)] = false, [gzip.zlib(text)] = false, [gzip.raw(text)] = true } do
            for _, size in ipairs { 1, 13, 100000 } do
                assert.equal(text, read_all(inflate.reader(pieces_of(data, size), #text, raw)))
            end
        end
        assert.equal("ab", read_all(inflate.reader(pieces_of(gzip.gzip("a") .. gzip.gzip("b"), 5), 2)))
        assert.equal("", read_all(inflate.reader(pieces_of(gzip.gzip(""), 5), 0)))
    end)

    it("gives what is left when the input has ended in the middle of a full piece", function()
        for _, extra in ipairs { 0, 1, 2, 100, 200, 257, 258, 259, 300 } do
            local zeros = ("\0"):rep(65536 + extra)
            local data = gzip.raw(zeros)
            assert.equal(zeros, read_all(inflate.reader(pieces_of(data, #data), #zeros, true)))
        end
    end)

    it("stops a bomb with 413 at the limit, holding one piece", function()
        local bomb = gzip.gzip(("\0"):rep(20 * 1048576))
        local next_piece, bytes = inflate.reader(pieces_of(bomb, 4096), 1048576), 0
        while true do
            local piece, message, status = next_piece()
            if not piece then
                assert.equal("the inflated content is longer than 1048576 bytes", message)
                assert.equal(413, status)
                break
            end
            bytes = bytes + #piece
        end
        assert.is_true(bytes <= 1048576)
        assert.same({ n = 3, nil, "the inflated content is longer than 1048576 bytes", 413 }, { n = 3, next_piece() })
    end)

    it("gives exactly the limit and refuses one byte more", function()
        local data = gzip.gzip(("x"):rep(70000))
        assert.equal(70000, #read_all(inflate.reader(pieces_of(data, 10), 70000)))
        assert.equal(413, (select(3, read_all(inflate.reader(pieces_of(data, 10), 69999)))))
    end)

    it("answers 400 for content that is cut off, damaged, or goes on behind its end", function()
        local data = gzip.gzip("some text")
        for bytes = 0, #data - 1 do
            local found, message, status = read_all(inflate.reader(pieces_of(data:sub(1, bytes), 4), 100))
            assert.is_nil(found)
            assert.equal("the compressed content ends too early", message)
            assert.equal(400, status)
        end
        for _, bad in ipairs { "plain", data .. "x", data:sub(1, -9) .. "\0\0\0\0\0\0\0\0", gzip.zlib("x") .. "\0" } do
            assert.equal(400, (select(3, read_all(inflate.reader(pieces_of(bad, 4), 100)))))
        end
    end)

    it("passes a failure of the source on, and raises it in a for loop", function()
        local function broken() return nil, "too slow", 408 end
        assert.same({ n = 3, nil, "too slow", 408 }, { n = 3, inflate.reader(broken, 10)() })
        local ok, failure = pcall(function() for _ in inflate.reader(broken, 10) do end end)
        assert.is_false(ok)
        assert.same({ status = 408, message = "too slow" }, failure)
    end)

    it("frees its machine at the end, after a failure, and when it is left", function()
        collectgarbage() collectgarbage()
        local before = live
        read_all(inflate.reader(pieces_of(gzip.gzip("x"), 5), 10))
        read_all(inflate.reader(pieces_of("bad", 5), 10))
        assert.equal(before, live)
        inflate.reader(pieces_of(gzip.gzip(text), 5), 1e6)()
        collectgarbage() collectgarbage()
        assert.equal(before, live)
    end)
end)
