--- Options of app:files and app:proxy were checked twice: a duration came out of the second time a thousand times as long.
require("t.support.fake_abi").install()
local app = require "moongate.app"

describe("a duration among the options of a route", function()
    it("is what was written", function()
        local site = app.new()
        site:files("/a/*", ".", { check = "2s" })
        site:proxy("/b/*", "http://127.0.0.1:1", { timeout = { head = "300ms" } })
        local found = {}
        for _, route in ipairs(site.routes) do found[#found + 1] = route.handler.lines end
        assert.same({ "check 2000\n", "head 300\n" }, found)
    end)
end)
