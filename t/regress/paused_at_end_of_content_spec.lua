--- Content that came while its handler waited paused the reading; when nothing came behind it, reading was never resumed and the next request
--- of the connection was not heard.
local server = require "t.support.server"

after_each(server.sweep)

describe("a connection whose content filled a window", function()
    it("hears its next request, wherever the content ended", function()
        local s = server.start { script = [[
            local mg = require "moongate"
            local app = mg.app()
            app:post("/", function(req)
                mg.sleep("60ms")
                return tostring(#req:text())
            end)
            app:get("/", function() return "next" end)
            return app
        ]] }
        for _, size in ipairs { 65535, 65536, 65537, 69000, 131072 } do
            local c = s:connect()
            assert.equal(tostring(size), c:post("/", ("x"):rep(size)).body)
            assert.equal("next", c:get("/").body)
            c:close()
        end
        s:stop()
    end)
end)
