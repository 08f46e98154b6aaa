local ffi = require "ffi"
local fcntl = require "posix.fcntl"
local c = require "t.support.c"
c.header("net/net.h", "file/stream.h")
local lib = c.lib()

local USER, GUARD, PIECE = 7, 8, 65536
local path, net, reader, event

local function open(text)
    local f = assert(io.open(path, "w"))
    f:write(text)
    f:close()
    return fcntl.open(path, fcntl.O_RDONLY)
end

local function begin(fd, offset, length, owner)
    local number = ffi.new("uint32_t[1]")
    local error = lib.file_stream_begin(reader, fd, offset, length, owner or 1, number)
    if error ~= 0 then return nil, error end
    return number[0]
end

local function facts()
    local f = ffi.new("struct file_reader_facts")
    lib.file_reader_facts(reader, f)
    return f
end

--- One turn of the engine: the owners whose streams have moved on.
local function turn(wait)
    local owner, moved = ffi.new("uint32_t[1]"), {}
    assert(lib.net_turn(net, wait or 1) == 0)
    while lib.net_event_next(net, event) ~= 0 do
        assert(event.user ~= GUARD, "it did not happen within five seconds")
        if lib.file_stream_on_net(reader, event, owner) == 1 then moved[#moved + 1] = owner[0] end
    end
    return moved
end

--- Takes a stream to its end: content, number of pieces, and the error that ended it.
local function drain(stream)
    local bytes, count, loan, parts = ffi.new("const char *[1]"), ffi.new("uint32_t[1]"), ffi.new("struct net_loan *[1]"), {}
    local guard = lib.net_timer_start(net, 5000, GUARD, 0)
    local result
    repeat
        result = lib.file_stream_next(reader, stream, bytes, count, loan)
        if result == 1 then
            parts[#parts + 1] = ffi.string(bytes[0], count[0])
            lib.file_stream_taken(reader, stream)
        elseif result == 0 then
            turn()
        end
    until result < 0
    lib.net_timer_stop(net, guard)
    return table.concat(parts), #parts, result
end

local function settle()
    local guard = lib.net_timer_start(net, 5000, GUARD, 0)
    while facts().streams > 0 do turn() end
    lib.net_timer_stop(net, guard)
end

local function descriptors()
    local count = 0
    for _ in require "lfs".dir("/proc/self/fd") do count = count + 1 end
    return count
end

local function text_of(bytes)
    local parts = {}
    for i = 1, math.ceil(bytes / 8) do parts[i] = ("%07x\n"):format(i) end
    return table.concat(parts):sub(1, bytes)
end

describe("a stream", function()
    before_each(function()
        local message = ffi.new("char[512]")
        path = os.tmpname()
        net = lib.net_new(ffi.new("struct net_options", { connections = 8, buffer_bytes = 1048576 }), message, 512)
        assert(net ~= nil, ffi.string(message))
        reader = lib.file_reader_new(net, 4, 8 * ffi.sizeof("char[65600]"), USER)
        event = ffi.new("struct net_event")
    end)

    after_each(function()
        lib.net_free(net)
        lib.file_reader_free(reader)
        os.remove(path)
    end)

    for _, bytes in ipairs { 1, 4095, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 2 * PIECE + 1, 10 * PIECE + 17 } do
        it(("reads a file of %d bytes in as few pieces as can be"):format(bytes), function()
            local text = text_of(bytes)
            local content, pieces, result = drain(begin(open(text), 0, bytes))
            assert.is_true(content == text)
            assert.same({ math.ceil(bytes / PIECE), -61 }, { pieces, result })
            assert.equal(bytes > PIECE and 2 or 1, facts().buffers)
        end)
    end

    it("reads a stretch of a file", function()
        local text = text_of(300000)
        local content = drain(begin(open(text), 1001, 200000))
        assert.is_true(content == text:sub(1002, 201001))
        assert.equal(text:sub(300000), (drain(begin(open(text), 299999, 1))))
    end)

    it("reads two pieces ahead and no further", function()
        local text = text_of(5 * PIECE)
        local stream = begin(open(text), 0, #text, 77)
        assert.same({ 77 }, turn())
        assert.same({}, turn(0))
        local bytes, count, loan = ffi.new("const char *[1]"), ffi.new("uint32_t[1]"), ffi.new("struct net_loan *[1]")
        for _ = 1, 2 do assert.equal(1, lib.file_stream_next(reader, stream, bytes, count, loan)) end
        assert.equal(text:sub(1, 8), ffi.string(bytes[0], 8))
        lib.file_stream_taken(reader, stream)
        assert.equal(1, lib.file_stream_next(reader, stream, bytes, count, loan))
        assert.equal(text:sub(PIECE + 1, PIECE + 8), ffi.string(bytes[0], 8))
        lib.file_stream_taken(reader, stream)
        assert.equal(0, lib.file_stream_next(reader, stream, bytes, count, loan))
        local rest = drain(stream)
        assert.is_true(rest == text:sub(2 * PIECE + 1))
    end)

    it("reads on into what was lent when it has been sent", function()
        local text = text_of(4 * PIECE)
        local stream = begin(open(text), 0, #text)
        local bytes, count, loans = ffi.new("const char *[1]"), ffi.new("uint32_t[1]"), {}
        local function lend()
            local loan = ffi.new("struct net_loan *[1]")
            while lib.file_stream_next(reader, stream, bytes, count, loan) == 0 do turn() end
            loan[0].pieces = 1 -- as the engine does while it sends
            loans[#loans + 1] = loan[0]
            lib.file_stream_taken(reader, stream)
            return ffi.string(bytes[0], count[0])
        end
        local first, second = lend(), lend()
        assert.is_true(first .. second == text:sub(1, 2 * PIECE))
        assert.equal(2, lib.file_stream_lent(reader, stream))
        assert.equal(-11, lib.file_stream_next(reader, stream, bytes, count, ffi.new("struct net_loan *[1]")))
        loans[1].pieces = 0
        assert.is_true(lend() == text:sub(2 * PIECE + 1, 3 * PIECE))
        loans[2].pieces = 0
        assert.is_true(lend() == text:sub(3 * PIECE + 1))
        assert.equal(-61, lib.file_stream_next(reader, stream, bytes, count, ffi.new("struct net_loan *[1]")))
        lib.file_stream_end(reader, stream)
        settle()
        assert.equal(2, facts().buffers)
        for _ = 1, 2 do -- two are still being sent: others are made, and they are used again once they are sent
            local other = begin(open(text), 0, #text)
            drain(other)
            lib.file_stream_end(reader, other)
            settle()
        end
        assert.equal(4, facts().buffers)
        loans[3].pieces, loans[4].pieces = 0, 0
        local others = { begin(open(text), 0, #text), begin(open(text), 0, #text) }
        for _, other in ipairs(others) do drain(other) end
        assert.equal(4, facts().buffers)
    end)

    it("is refused when the buffers are used up", function()
        lib.file_reader_adapt(reader, 4, 65600)
        local fd = open(text_of(3 * PIECE))
        local stream = assert(begin(fd, 0, 3 * PIECE)) -- with one buffer only
        assert.same({ nil, -105 }, { begin(fcntl.open(path, fcntl.O_RDONLY), 0, 5) })
        assert.is_true(drain(stream) == text_of(3 * PIECE))
        lib.file_reader_adapt(reader, 4, 1e6)
        assert.equal(text_of(5), (drain(begin(fcntl.open(path, fcntl.O_RDONLY), 0, 5))))
    end)

    it("says when the file has become shorter, after what is left of it", function()
        for _, bytes in ipairs { 100, PIECE + 100, 3 * PIECE } do
            local content, _, result = drain(begin(open(text_of(bytes)), 0, bytes + 1))
            assert.equal(-29, result)
            assert.equal(bytes - bytes % PIECE, #content)
        end
    end)

    it("says what the system says when reading fails", function()
        local fd = fcntl.open("/tmp", fcntl.O_RDONLY)
        local _, _, result = drain(begin(fd, 0, 10))
        assert.equal(-21, result)
    end)

    it("gives everything back at its end, in the middle and after an error", function()
        local text = text_of(4 * PIECE)
        local before = descriptors()
        for _ = 1, 20 do
            local whole, part, fresh = begin(open(text), 0, #text), begin(open(text), 0, #text), begin(open(text), 0, 10)
            drain(whole)
            turn(0)
            for _, stream in ipairs { whole, part, fresh } do lib.file_stream_end(reader, stream) end
        end
        settle()
        assert.same({ 0, 0 }, { facts().streams, facts().ending })
        assert.is_true(facts().buffers <= 8, "buffers made: " .. facts().buffers)
        assert.equal(before, descriptors())
    end)

    it("holds its slot until the kernel has given up its buffers", function()
        local stream = begin(open(text_of(PIECE)), 0, PIECE)
        lib.file_stream_end(reader, stream)
        assert.same({ 1, 1 }, { facts().streams, facts().ending })
        settle()
        assert.equal(0, facts().ending)
    end)

    it("is refused when all are in use, and leaves the descriptor to the caller", function()
        local fd = open("hello")
        local streams = {}
        for i = 1, 4 do streams[i] = assert(begin(fcntl.open(path, fcntl.O_RDONLY), 0, 5)) end
        assert.same({ nil, -105 }, { begin(fd, 0, 5) })
        for i = 1, 4 do
            drain(streams[i])
            lib.file_stream_end(reader, streams[i])
        end
        assert.equal("hello", (drain(begin(fd, 0, 5))))
    end)
end)
