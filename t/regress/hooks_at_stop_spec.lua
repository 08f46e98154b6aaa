--- Hooks after the answer that waited were cut off when the gateway was stopped: whatever they had to write down was lost.
local server = require "t.support.server"

after_each(server.sweep)

local SCRIPT = [[
    local mg = require "moongate"
    local app = mg.app()
    app:on_done(function(req) mg.sleep("%s") mg.log("info", "the answer was noted") end)
    app:get("/", function(req) return "x" end)
    app:on_stop(function() mg.log("info", "stopped by its hook") end)
    return { app = app, drain = "%s" }
]]

describe("a hook after the answer", function()
    it("that waits has ended before the stop hooks run", function()
        local s = server.start { script = SCRIPT:format("100ms", "10s") }
        assert.equal("x", s:get("/").body)
        assert.matches("the answer was noted.-stopped by its hook", s:stop())
    end)

    it("has the time of the drain, and no more", function()
        local s = server.start { script = SCRIPT:format("60s", "100ms") }
        assert.equal("x", s:get("/").body)
        local log = s:stop()
        assert.matches("stopped by its hook", log)
        assert.is_nil(log:find("was noted", 1, true))
    end)
end)
