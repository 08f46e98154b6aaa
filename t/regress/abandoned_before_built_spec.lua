--- A worker that was busy while its candidate came and went heard of both in one turn: there was nothing to give up yet, and then it built
--- the candidate, ran its start hooks and kept it.
local process = require "t.support.process"
local server = require "t.support.server"

after_each(server.sweep)

local FIRST = [==[
local mg = require "moongate"
local app = mg.app()
app:get("/", function() return "first" end)
app:get("/block", function()
    io.open("%s/busy", "w"):close()
    local till = os.clock() + 0.3
    while os.clock() < till do end
    return "unblocked"
end)
return { app = app, limits = { handler_time = "10s" } }
]==]

--- Its start hook fails in whichever worker comes first.
local SECOND = [==[
local mg = require "moongate"
local app = mg.app()
app:on_start(function()
    local before = io.open("%s/begun")
    if before then io.open("%s/again", "w"):close() return end
    io.open("%s/begun", "w"):close()
    error("not in this worker")
end)
app:get("/", function() return "second" end)
return { app = app, limits = { handler_time = "10s" } }
]==]

describe("a candidate that is given up before a worker has begun with it", function()
    it("is never begun there", function()
        local folder = server.folder()
        local s = server.start { script = FIRST:format(folder), workers = 2 }
        local c = s:connect()
        c:send("GET /block HTTP/1.1\r\nHost: a\r\n\r\n")
        local limit = process.now() + 5
        repeat local busy = io.open(folder .. "/busy") until busy or process.now() > limit
        process.write_file(s.file, SECOND:format(folder, folder, folder))
        local code, _, err = server.run({ "reload", "--name", s.name }, 20)
        assert.equal(1, code)
        assert.matches("not in this worker", err)
        assert.equal("unblocked", c:read().body)
        process.write_file(s.file, FIRST:format(folder))
        code, _, err = server.run({ "reload", "--name", s.name }, 20)
        assert.equal(0, code, err)
        assert.is_nil(io.open(folder .. "/again"))
    end)
end)
