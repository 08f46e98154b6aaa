--- The memory that a request's content was kept in stayed with its connection: clients that had sent something and then did nothing used up
--- limits.buffers, and others were closed.
local server = require "t.support.server"

after_each(server.sweep)

describe("a connection that has sent content", function()
    it("keeps no memory of it when it is idle", function()
        local s = server.start { script = [[
            local mg = require "moongate"
            local app = mg.app()
            app:post("/read", function(req) mg.sleep("10ms") return tostring(#req:text()) end)
            app:post("/leave", function() mg.sleep("10ms") return "left" end)
            return { app = app, limits = { buffers = "1m" } }
        ]] }
        local content, idle = ("x"):rep(60000), {}
        for i = 1, 40 do -- more than twice what there is room for
            idle[i] = s:connect()
            assert.equal(i % 2 == 0 and "left" or "60000", idle[i]:post(i % 2 == 0 and "/leave" or "/read", content).body)
        end
        s:stop()
    end)
end)
