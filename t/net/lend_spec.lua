--- Output that is sent from where it lies.
local ffi = require "ffi"
local engine = require "t.net.engine"
local lib = engine.lib

local ENOBUFS, EPIPE = -105, -32

local function text_of(bytes)
    local parts = {}
    for at = 1, math.ceil(bytes / 8) do parts[at] = ("%07x\n"):format(at) end
    return table.concat(parts):sub(1, bytes)
end

describe("memory that is lent", function()
    local e, conn, peer, loan
    before_each(function()
        e = engine.new()
        conn, peer = e:pair()
        loan = ffi.new("struct net_loan")
    end)
    after_each(engine.sweep)

    --- A copy that the collector leaves alone while the spec holds it.
    local function memory(text)
        local bytes = ffi.new("char[?]", #text)
        ffi.copy(bytes, text, #text)
        return bytes
    end

    local function write(text) assert.equal(0, lib.conn_write(e.net, conn, text, #text)) end

    it("goes out in its place among what is copied, and is counted until it is out", function()
        local bytes = memory("lent")
        write("before ")
        assert.equal(0, lib.conn_lend(e.net, conn, bytes, 4, loan))
        write(" between ")
        assert.equal(0, lib.conn_lend(e.net, conn, bytes, 2, loan))
        write(" behind")
        assert.equal(2, loan.pieces)
        assert.equal(#"before lent between le behind", lib.conn_queued(e.net, conn))
        assert.equal("before lent between le behind", (e:read(peer, 29)))
        e:run(function() return lib.conn_queued(e.net, conn) == 0 end)
        assert.equal(0, loan.pieces)
        assert.equal(0, e:facts().out_bytes)
    end)

    it("is sent whole when it is larger than the kernel takes at once, and not copied", function()
        local text = text_of(6000001)
        local bytes = memory(text)
        write("head ")
        assert.equal(0, lib.conn_lend(e.net, conn, bytes, #text, loan))
        assert.is_true(e:facts().out_bytes < 1000)
        assert.is_true("head " .. text == (e:read(peer, #text + 5)))
    end)

    it("is sent in more pieces than go into one call", function()
        local text = text_of(100 * 16)
        local bytes, expected = memory(text), {}
        for at = 0, 99 do
            assert.equal(0, lib.conn_lend(e.net, conn, bytes + at * 16, 16, loan))
            write(".")
            expected[at + 1] = text:sub(at * 16 + 1, at * 16 + 16) .. "."
        end
        assert.equal(table.concat(expected), (e:read(peer, 1700)))
    end)

    it("waits in a queue for its turn", function()
        local bytes = memory("lent")
        local queue = ffi.new("struct net_queue")
        assert.equal(0, lib.queue_lend(e.net, queue, bytes, 4, loan))
        assert.equal(0, lib.queue_write(e.net, queue, "+", 1))
        assert.equal(5, queue.bytes)
        write("first ")
        lib.conn_take(e.net, conn, queue)
        assert.equal("first lent+", (e:read(peer, 11)))
        assert.equal(0, lib.queue_lend(e.net, queue, bytes, 4, loan))
        lib.queue_free(e.net, queue)
        assert.equal(0, loan.pieces)
    end)

    it("is given back when the connection is closed before it is out", function()
        local text = text_of(8000000)
        local bytes = memory(text)
        assert.equal(0, lib.conn_lend(e.net, conn, bytes, #text, loan))
        e:turn(0)
        lib.conn_close(e.net, conn, lib.CLOSE_NOW)
        assert.equal(EPIPE, lib.conn_lend(e.net, conn, bytes, 1, loan))
        e:expect("closed", conn)
        assert.equal(0, loan.pieces)
    end)

    it("counts little against the bound, but counts", function()
        local bytes = memory("x")
        local queue, small = ffi.new("struct net_queue"), engine.new { buffer_bytes = 4096 }
        local count, rc = 0, nil
        repeat
            rc = lib.queue_lend(small.net, queue, bytes, 1, loan)
            count = count + 1
        until rc ~= 0 or count > 1000
        assert.equal(ENOBUFS, rc)
        assert.is_true(count > 20 and count < 200)
        lib.queue_free(small.net, queue)
        assert.equal(0, loan.pieces)
    end)
end)

describe("opening through the engine", function()
    after_each(engine.sweep)

    it("gives a descriptor, or the kernel's error, and keeps below the folder", function()
        local e = engine.new()
        local fcntl = require "posix.fcntl"
        local root = engine.keep(fcntl.open("/usr/bin", fcntl.O_RDONLY))
        assert.equal(0, lib.net_open(e.net, root, "env", 0, 8, 3, 1.5)) -- RESOLVE_BENEATH
        local done = e:expect("done")
        assert.same({ 3, 1.5, true }, { done.user, done.token, done.result > 2 })
        engine.close(done.result)
        lib.net_open(e.net, root, "no-such-program", 0, 8, 3, 0)
        assert.equal(-2, e:expect("done").result)
        lib.net_open(e.net, root, "../bin/env", 0, 8, 3, 0)
        assert.equal(-18, e:expect("done").result)
    end)
end)

ffi.cdef [[
    void *mmap(void *, size_t, int, int, int, long);
    int munmap(void *, size_t);
]]

describe("lent pages", function()
    local e, conn, peer, loan, pages
    local SIZE = 3000000
    local text = text_of(SIZE)
    before_each(function()
        e = engine.new()
        conn, peer = e:pair()
        loan = ffi.new("struct net_loan", { paged = 1 })
        pages = ffi.cast("char *", ffi.C.mmap(nil, SIZE, 3, 0x22, -1, 0)) -- read and write, private and anonymous
        ffi.copy(pages, text, SIZE)
    end)
    after_each(function()
        engine.sweep()
        if pages then ffi.C.munmap(pages, SIZE) end
    end)

    local function lend(from, count) assert.equal(0, lib.conn_lend(e.net, conn, pages + from, count, loan)) end

    for _, case in ipairs { { 0, SIZE }, { 0, 65536 }, { 1, 65536 }, { 0, 65535 }, { 123457, 2000000 }, { SIZE - 1, 1 } } do
        it(("goes out whole, %d bytes from %d on, between what is copied"):format(case[2], case[1]), function()
            assert.equal(0, lib.conn_write(e.net, conn, "head ", 5))
            lend(case[1], case[2])
            assert.equal(0, lib.conn_write(e.net, conn, " tail", 5))
            local expected = "head " .. text:sub(case[1] + 1, case[1] + case[2]) .. " tail"
            assert.is_true(expected == (e:read(peer, #expected)))
            e:spin(function() return lib.conn_queued(e.net, conn) == 0 end)
            assert.equal(#expected, tonumber(lib.conn_sent_total(e.net, conn)))
            assert.equal(0, loan.pieces)
        end)
    end

    it("waits for a peer that takes nothing, without holding the engine up, and then goes on", function()
        for _ = 1, 5 do lend(0, SIZE) end
        e:run_ms(30)
        assert.is_true(lib.conn_queued(e.net, conn) > 0)
        local other, other_peer = e:pair()
        assert.equal(0, lib.conn_write(e.net, other, "quick", 5))
        assert.equal("quick", (e:read(other_peer, 5)))
        lib.conn_notify_drained(e.net, conn, 0)
        assert.is_true(text:rep(5) == (e:read(peer, 5 * SIZE)))
        e:expect("drained", conn)
    end)

    it("may be unmapped as soon as the kernel has taken them", function()
        local count = 100000 -- the peer's buffer holds so many
        assert.equal(0, lib.conn_lend(e.net, conn, pages, count, loan))
        e:spin(function() return loan.pieces == 0 end)
        ffi.C.munmap(pages, SIZE)
        pages = nil
        local other = ffi.C.mmap(nil, SIZE, 3, 0x22, -1, 0)
        ffi.fill(other, SIZE, 0x55)
        assert.is_true(text:sub(1, count) == (e:read(peer, count)))
        ffi.C.munmap(other, SIZE)
    end)

    it("ends with its connection, whoever closes it", function()
        for _ = 1, 5 do lend(0, SIZE) end
        e:run_ms(10)
        lib.conn_close(e.net, conn, lib.CLOSE_NOW)
        e:expect("closed", conn)
        assert.equal(0, loan.pieces)
        conn, peer = e:pair()
        for _ = 1, 5 do lend(0, SIZE) end
        e:run_ms(10)
        engine.close(peer)
        local failed = e:expect("failed", conn)
        assert.is_true(failed.result < 0)
        lib.conn_close(e.net, conn, lib.CLOSE_NOW)
        e:expect("closed", conn)
        assert.equal(0, loan.pieces)
    end)

    it("is flushed before a gentle close", function()
        lend(0, SIZE)
        lib.conn_close(e.net, conn, lib.CLOSE_FLUSH)
        local all, ended = e:read(peer, SIZE + 1)
        assert.is_true(all == text and ended)
    end)
end)
