--- `run --watch` reloaded at once after its start when anything had been made in one of the folders on the way to the site, a log beside it, say.
local process = require "t.support.process"
local server = require "t.support.server"

describe("watching, right after the start", function()
    after_each(server.sweep)

    it("is not concerned by other names in the folders on the way", function()
        local folder = server.folder { ["site/app.lua"] = 'local app = require("moongate").app() app:get("/", function() return "one" end) return app' }
        process.write_file(folder .. "/site/neighbour", "made just before")
        local s = server.start { file = folder .. "/site/app.lua", args = { "--watch" } }
        s:connect():expect_silence(0.3) -- a burst of changes has ended by then
        assert.is_nil(s:log():find("reload", 1, true))
        process.write_file(folder .. "/site/app.lua", 'local app = require("moongate").app() app:get("/", function() return "two" end) return app')
        s:wait_log "generation 2 in 1 worker, 1 route changed"
        assert.equal("two", s:get("/").body)
        s:stop()
    end)
end)
