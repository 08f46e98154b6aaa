--- Code that was stopped for running too long could catch its own error; then the next error of anybody was taken for one of that kind.
local server = require "t.support.server"

after_each(server.sweep)

local SITE = [==[
local mg = require "moongate"
local app = mg.app()
local sink
local function spin() while true do sink = { sink and 1 } end end
app:get("/", function() return "hello" end)
app:get("/caught", function() mg.spawn(function() return pcall(spin) end) return "spawned" end)
app:get("/broken", function() error("broken on its own") end)
app:get("/twice", function() spin() end)
app:on_error("handler-time", function(req)
    if req.path == "/twice" then spin() end
    return 503, "took too long"
end)
return { app = app, limits = { handler_time = "100ms", handler_grace = "10s" } }
]==]

describe("an error after a stretch that was stopped", function()
    it("is itself when the stretch had caught its own", function()
        local s = server.start { script = SITE }
        local c = s:connect()
        assert.equal("spawned", c:get("/caught").body)
        assert.equal("hello", c:get("/").body)
        local response = c:get("/broken")
        assert.equal(500, response.status)
        assert.matches("broken on its own", s:stop())
    end)

    it("is itself when the error handler was stopped, too", function()
        local s = server.start { script = SITE }
        local c = s:connect()
        assert.equal(500, c:get("/twice").status)
        assert.equal(500, c:get("/broken").status)
        assert.matches("broken on its own", s:stop())
    end)
end)
