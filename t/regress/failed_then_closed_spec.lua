--- A connection whose send had failed was closed gently: at the news of that, or at the news of the peer's end in the same turn, when the news
--- of the failure became stale. Nobody sent what was queued, so nothing failed again, and the connection stayed for ever.
local socket = require "posix.sys.socket"

describe("a connection whose send has failed", function()
    if not require("t.support.c").has_lib() then
        it("is seen in a build with the rooms as a library", function() pending("this build has the program alone") end)
        return
    end
    local engine = require "t.net.engine"
    local lib = engine.lib
    after_each(engine.sweep)

    for _, mode in ipairs { 1, 2 } do -- CLOSE_FLUSH, CLOSE_LINGER
        it("closes when it is closed gently, mode " .. mode, function()
            local e = engine.new { connections = 8 }
            local peer = engine.connect(e:listen(1), 4096)
            local conn = e:expect("accepted").conn
            local much = ("x"):rep(2 ^ 20)
            for _ = 1, 8 do assert.equal(0, lib.conn_write(e.net, conn, much, #much)) end
            e:turn(0)
            e:turn(0)
            assert.truthy(lib.conn_queued(e.net, conn) > 0)
            assert(socket.shutdown(peer, socket.SHUT_WR))
            engine.close(peer) -- with bytes that it has not read: a reset
            e.on = function(event)
                if event.kind == "end" or event.kind == "failed" then lib.conn_close(e.net, conn, mode) end
            end
            e:expect("closed", conn)
            assert.equal(0, lib.conn_queued(e.net, conn))
        end)
    end
end)
