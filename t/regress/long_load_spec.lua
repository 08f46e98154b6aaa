--- A site that takes longer to load than a handler may run could be started and never be reloaded.
local server = require "t.support.server"

after_each(server.sweep)

local SITE = [==[
local app = require "moongate".app()
local till, kept = os.clock() + 0.25, nil
while os.clock() < till do kept = {} end
app:on_start(function()
    till = os.clock() + 0.25
    while os.clock() < till do kept = {} end
end)
app:get("/", function() return "hello" end)
return { app = app, limits = { handler_time = "100ms", handler_grace = "50ms" } }
]==]

describe("a site that is busy for longer than a handler may be while it is loaded and in its start hooks", function()
    it("is reloaded as it was started", function()
        local s = server.start { script = SITE }
        local workers = s:workers()
        local code, out, err = server.run({ "reload", "--name", s.name }, 20)
        assert.equal(0, code, err)
        assert.matches("^generation 2 in 1 worker", out)
        assert.same(workers, s:workers())
        assert.equal("hello", s:get("/").body)
        s:stop()
    end)
end)
