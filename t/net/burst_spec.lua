--- Hundreds of sockets that become readable at once: told in few calls, and sleeping still works afterwards.
local ffi = require "ffi"
local socket = require "posix.sys.socket"
local engine = require "t.net.engine"

local PEERS = 300

describe("a burst of ready sockets", function()
    local e, peers, facts
    before_each(function()
        e = engine.new { connections = 400 }
        facts = ffi.new("struct net_facts")
        local address = e:listen(1, nil, PEERS)
        peers = {}
        for i = 1, PEERS do
            peers[i] = engine.connect(address)
            if i % 100 == 0 then e:run(function() return e:count("accepted") == i end) end
        end
    end)
    after_each(engine.sweep)

    local function enters()
        engine.lib.net_facts(e.net, facts)
        return tonumber(facts.enters)
    end

    it("is told in three calls of a hundred or more, not in fifteen of twenty", function()
        for round = 1, 3 do
            for _, peer in ipairs(peers) do assert(socket.send(peer, "x")) end
            local before = enters()
            e:run(function() return e:count("bytes") == round * PEERS end)
            assert.truthy(enters() - before <= 5, ("%d calls"):format(enters() - before))
        end
    end)

    it("leaves nothing that keeps the engine awake", function()
        for _, peer in ipairs(peers) do assert(socket.send(peer, "x")) end
        e:run(function() return e:count("bytes") == PEERS end)
        local before = enters()
        e:run_ms(40)
        assert.truthy(enters() - before <= 4, ("%d calls"):format(enters() - before))
    end)

    it("loses and repeats nothing, however much of the ring has been gone round", function()
        for round = 1, 40 do -- 12,000 completions in a ring of 8,192
            for _, peer in ipairs(peers) do assert(socket.send(peer, "x")) end
            e:run(function() return e:count("bytes") >= PEERS end)
            assert.equal(PEERS, e:count("bytes"), "round " .. round)
            local seen = {}
            for _, event in ipairs(e.events) do
                if event.kind == "bytes" then
                    assert.equal("x", event.bytes)
                    assert.falsy(seen[event.conn])
                    seen[event.conn] = true
                end
            end
            e.events = {}
        end
    end)
end)
