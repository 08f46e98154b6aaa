--- A handler that began its answer and then read content that the client held back had "HTTP/1.1 100 Continue" written into that answer.
local server = require "t.support.server"

after_each(server.sweep)

local SCRIPT = [[
local mg = require "moongate"
local app = mg.app()
app:get("/slow", function() mg.sleep("50ms") return "slow" end)
app:post("/echo", function(req)
    return mg.stream(function(out)
        out:write("begun;")
        for piece in req:chunks() do out:write(piece) end
    end)
end)
return app
]]
local HEAD = "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"

describe("100 (Continue)", function()
    it("is never sent behind the head of the answer", function()
        local s = server.start { script = SCRIPT }
        local c = s:connect()
        c:send(HEAD)
        assert.equal(200, c:read_head().status)
        assert.equal("begun;", c:read_chunk())
        c:send("hello")
        assert.equal("hello", c:read_chunk())
        assert.equal("", c:read_chunk())
        c:expect_close()
        s:stop()
    end)

    it("is not sent either when that answer had to wait for its turn", function()
        local s = server.start { script = SCRIPT }
        local c = s:connect()
        c:send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n" .. HEAD)
        assert.equal("slow", c:read().body)
        assert.equal(200, c:read_head().status)
        assert.equal("begun;", c:read_chunk())
        c:send("hello")
        assert.equal("hello", c:read_chunk())
        assert.equal("", c:read_chunk())
        s:stop()
    end)
end)
