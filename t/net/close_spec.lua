--- Closing as a join: NET_CLOSED once, when the kernel holds nothing, in each mode and from each state.
local socket = require "posix.sys.socket"
local engine = require "t.net.engine"
local lib = engine.lib

local EPIPE = -32
local MODES = { "NOW", "FLUSH", "LINGER" }

describe("closing", function()
    local e
    before_each(function() e = engine.new { stall_ms = 100 } end)
    after_each(engine.sweep)

    it("NOW drops what is queued and says so", function()
        local conn, peer = e:pair(4096)
        assert.equal(0, e:write(conn, ("x"):rep(8e6)))
        e:turn()
        e:close(conn, "NOW")
        assert.equal(EPIPE, e:expect("closed", conn).result)
        assert.is_true(#e:read(peer, 9e6) < 8e6)
        assert.equal(0, e:facts().out_bytes)
    end)

    it("FLUSH sends what is queued first", function()
        local conn, peer = e:pair()
        assert.equal(0, e:write(conn, ("x"):rep(3e6)))
        e:close(conn, "FLUSH")
        local text, ended = e:read(peer, 4e6)
        assert.is_true(ended)
        assert.equal(3e6, #text)
        assert.equal(0, e:expect("closed", conn).result)
    end)

    it("FLUSH of a peer that does not read ends after stall_ms", function()
        local conn = e:pair(4096)
        assert.equal(0, e:write(conn, ("x"):rep(8e6)))
        e:close(conn, "FLUSH")
        assert.equal(EPIPE, e:expect("closed", conn).result)
        assert.equal(0, e:count("failed"))
    end)

    it("NOW hurries a close that has begun", function()
        local conn = e:pair(4096)
        assert.equal(0, e:write(conn, ("x"):rep(8e6)))
        e:close(conn, "FLUSH")
        e:turn()
        e:close(conn, "LINGER")
        e:close(conn, "NOW")
        e:close(conn, "NOW")
        assert.equal(EPIPE, e:expect("closed", conn).result)
    end)

    it("LINGER lets a client that is still sending read its answer", function()
        local conn, peer = e:pair()
        engine.unblock(peer)
        local piece = ("u"):rep(10000)
        socket.send(peer, piece)
        e:expect("bytes", conn)
        assert.equal(0, e:write(conn, "413 too much"))
        e:close(conn, "LINGER")
        e.events = {}
        local answer, sent = "", 0
        while #answer < 12 or sent < 500000 do -- goes on sending long after the answer
            sent = sent + (socket.send(peer, piece) or 0)
            answer = answer .. (engine.read_now(peer) or "")
            e:turn()
        end
        assert.equal("413 too much", answer)
        assert.equal(0, e:count("closed"))
        socket.shutdown(peer, socket.SHUT_WR)
        e:expect("closed", conn)
        assert.equal(0, e:count("bytes"))
    end)

    it("LINGER ends when more than a mebibyte was thrown away", function()
        local conn, peer = e:pair()
        engine.unblock(peer)
        e:close(conn, "LINGER")
        local piece, sent = ("u"):rep(10000), 0
        e:spin(function()
            sent = sent + (e:count("closed") == 0 and socket.send(peer, piece) or 0)
            return e:count("closed", conn) == 1
        end)
        assert.is_true(sent > 1048576 and sent < 1048576 * 8, sent)
    end)

    it("LINGER ends at the deadline of a silent client", function()
        local conn = e:pair()
        lib.conn_deadline(e.net, conn, 50)
        local from = lib.net_now_ms(e.net)
        e:close(conn, "LINGER")
        assert.equal(0, e:expect("closed", conn).result)
        local after = lib.net_now_ms(e.net) - from
        assert.is_true(after >= 50 and after < 150, "after " .. after)
        assert.equal(0, e:count("timeout"))
    end)

    it("LINGER ends in five seconds without a deadline", function()
        local conn = e:pair()
        local from = lib.net_now_ms(e.net)
        e:close(conn, "LINGER")
        e:expect("closed", conn)
        local after = lib.net_now_ms(e.net) - from
        assert.is_true(after >= 5000 and after < 5200, "after " .. after)
    end)

    it("takes no more output", function()
        for _, mode in ipairs(MODES) do
            local conn = e:pair()
            e:close(conn, mode)
            assert.equal(EPIPE, e:write(conn, "x"))
            assert.is_true(lib.conn_out(e.net, conn, 10) == nil)
            local queue = require("ffi").new("struct net_queue")
            assert.equal(0, lib.queue_write(e.net, queue, "late", 4))
            lib.conn_take(e.net, conn, queue)
            assert.equal(0, queue.bytes)
        end
        e:run_ms(1)
        assert.equal(0, e:facts().out_bytes)
    end)

    -- From each state, with output and without: one NET_CLOSED and nothing after it.
    local SITUATIONS = {
        ["that is idle"] = function() end,
        ["with unread input"] = function(_, peer) socket.send(peer, ("y"):rep(50000)) end,
        ["that is paused"] = function(conn)
            lib.conn_pause(e.net, conn)
            e:turn()
            e:turn()
        end,
        ["that is paused just now"] = function(conn) lib.conn_pause(e.net, conn) end,
        ["whose peer has ended"] = function(conn, peer)
            socket.shutdown(peer, socket.SHUT_WR)
            e:expect("end", conn)
        end,
        ["that the peer has reset"] = function(conn, peer)
            assert(socket.setsockopt(peer, socket.SOL_SOCKET, socket.SO_LINGER, 1, 0))
            engine.close(peer)
            e:expect("failed", conn)
        end,
    }
    for situation, bring_about in pairs(SITUATIONS) do
        for _, mode in ipairs(MODES) do
            for _, output in ipairs { 0, 5, 100000 } do
                it(("%s a connection %s, with %d bytes of output, is told once"):format(mode, situation, output), function()
                    local conn, peer = e:pair()
                    lib.conn_deadline(e.net, conn, 300)
                    bring_about(conn, peer)
                    if output > 0 then assert.equal(0, e:write(conn, ("z"):rep(output))) end
                    lib.conn_notify_drained(e.net, conn, 10)
                    e:close(conn, mode)
                    local first = e:take()
                    assert.is_true(not first or first.kind == "closed", first and first.kind)
                    if not first then
                        if mode ~= "NOW" and situation ~= "that the peer has reset" then e:read(peer, output) end
                        if situation ~= "that the peer has reset" then engine.close(peer) end
                        e:expect("closed", conn)
                    end
                    e:run_ms(2)
                    for _, event in ipairs(e.events) do assert.is_true(event.kind == "timer", event.kind) end
                    local facts = e:facts()
                    assert.equal(0, facts.connections)
                    assert.equal(0, facts.out_bytes)
                end)
            end
        end
    end

    it("drops events that were recorded and not told", function()
        local conn, peer = e:pair()
        socket.send(peer, ("y"):rep(20000))
        socket.shutdown(peer, socket.SHUT_WR)
        local kinds = {}
        e.on = function(event)
            kinds[#kinds + 1] = event.kind
            if event.kind == "bytes" then e:close(conn, "NOW") end
        end
        e:expect("closed", conn)
        assert.same({ "bytes", "closed" }, kinds)
    end)

    it("gives back the buffers of what is not told", function()
        e = engine.new { lent_buffers = 4 }
        for _ = 1, 10 do
            local conn, peer = e:pair()
            socket.send(peer, ("y"):rep(20000))
            e.on = function(event) if event.kind == "bytes" then e:close(conn, "NOW") end end
            e:expect("closed", conn)
            e.on, e.events = nil, {}
        end
        local conn, peer = e:pair()
        socket.send(peer, ("y"):rep(20000))
        assert.equal(20000, #e:expect_bytes(conn, 20000))
    end)

    it("frees the number for another, to whom nothing of the first one comes", function()
        local seen = {}
        for round = 1, 300 do
            local conn, peer = e:pair()
            seen[conn] = (seen[conn] or 0) + 1
            local word = ("%06d"):format(round)
            socket.send(peer, word:rep(1000))
            assert.equal(word, e:expect_bytes(conn, 6):sub(1, 6))
            lib.conn_deadline(e.net, conn, 20000)
            lib.conn_notify_drained(e.net, conn, 0)
            assert.equal(0, e:write(conn, word))
            e:close(conn, MODES[round % 2 + 1])
            engine.close(peer)
            e:expect("closed", conn)
            e.events = {}
        end
        assert.equal(300, seen[0])
        assert.equal(0, e:facts().timers)
    end)

    it("while starved of buffers leaves the others theirs", function()
        e = engine.new { lent_buffers = 2 }
        local conns, peers = {}, {}
        for i = 1, 12 do conns[i], peers[i] = e:pair() end
        for i = 1, 12 do socket.send(peers[i], ("%02d"):format(i):rep(20000)) end
        assert(lib.net_turn(e.net, 0) == 0)
        assert.is_true(e:facts().no_buffers > 0)
        for i = 1, 12, 3 do e:close(conns[i], "NOW") end -- first, middle and last of those who wait
        for i = 2, 12, 3 do lib.conn_pause(e.net, conns[i]) end
        e:turn()
        for i = 2, 12, 3 do lib.conn_resume(e.net, conns[i]) end
        for i = 1, 12 do
            if i % 3 == 1 then
                e:expect("closed", conns[i])
            else
                assert.is_true(("%02d"):format(i):rep(20000) == e:expect_bytes(conns[i], 40000))
            end
        end
    end)

    it("of an engine with everything under way leaks no descriptor", function()
        local function count()
            local n = 0
            for _ in require("lfs").dir("/proc/self/fd") do n = n + 1 end
            return n
        end
        local before = count()
        for _ = 1, 3 do
            local other = engine.new()
            local conn, peer = other:pair(4096)
            other:write(conn, ("x"):rep(1e6))
            other:turn()
            other:connect(other.address)
            lib.net_timer_start(other.net, 1000, 0, 0)
            assert.is_truthy(peer)
            engine.sweep()
            e = engine.new()
        end
        engine.sweep()
        assert.is_true(count() <= before)
    end)
end)
