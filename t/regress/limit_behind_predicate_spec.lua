--- The limit of content of the first route that a path fits held for all: where its `when` said no, the route that took the request instead was
--- refused content that it takes, or was given more than it takes.
local server = require "t.support.server"

local SITE = [==[
local mg = require "moongate"
local app = mg.app()
local function length(name) return function(req) return name .. " " .. #(req:text() or "too long") end end
local function beta(req) return req.headers["x-beta"] ~= nil end
app:post("/small/a", { when = beta, body = 10 }, length "beta")
app:post("/small/:x", { body = 100 }, length "all")
app:post("/great/a", { when = beta, body = "2m" }, length "beta")
app:post("/great/:x", { body = 100 }, function() return "all, unread" end)
app:post("/none/a", { when = beta, body = 10 }, length "beta")
return { app = app, limits = { body = 50 } }
]==]

describe("a limit of content behind a predicate", function()
    after_each(server.sweep)
    local s
    local function post(path, bytes, field)
        local c = s:connect()
        c:send(("POST %s HTTP/1.1\r\nHost: a\r\n%sContent-Length: %d\r\n\r\n%s"):format(path, field or "", bytes, ("x"):rep(bytes)))
        local response = c:read "POST"
        c:close()
        return response.status == 200 and response.body or response.status
    end

    it("is that of the route which is chosen", function()
        s = server.start { script = SITE }
        assert.equal("beta 10", post("/small/a", 10, "X-Beta: 1\r\n"))
        assert.equal(413, post("/small/a", 11, "X-Beta: 1\r\n"))
        assert.equal("all 11", post("/small/a", 11))
        assert.equal("all 100", post("/small/a", 100))
        assert.equal(413, post("/small/a", 101))
        assert.equal("beta 101", post("/great/a", 101, "X-Beta: 1\r\n"))
        assert.equal("all, unread", post("/great/a", 100))
        assert.equal(413, post("/great/a", 101))
        assert.equal(405, post("/none/a", 60))
        s:stop()
    end)
end)
