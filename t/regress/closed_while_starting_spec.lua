--- A route that was closed while a worker was in its start hooks went on costing that worker its life: the order came before its routes.
local http_text = require "t.support.http_text"
local json = require "cjson"
local process = require "t.support.process"
local server = require "t.support.server"
local signal = require "posix.signal"

after_each(server.sweep)

local SITE = [==[
local mg = require "moongate"
local app = mg.app()
app:get("/", function() return tostring(mg.worker()) end)
app:get("/machine", function() local x = 0 while true do x = x + 1 end end)
app:on_start(function()
    local file = io.open("hold." .. mg.worker())
    while file do
        file:close()
        mg.sleep("5ms")
        file = io.open("hold." .. mg.worker())
    end
end)
return { app = app, limits = { handler_time = "50ms", handler_grace = "50ms" } }
]==]

local function status(s)
    local code, out = server.run({ "status", "--json", "--name", s.name }, 10)
    assert.equal(0, code)
    return json.decode(out)
end

local function pid_of(s, number)
    for _, worker in ipairs(status(s).workers) do
        if worker.number == number then return worker.pid end
    end
end

describe("a route that is closed while another worker is in its start hooks", function()
    it("is closed in that worker, too, when it serves", function()
        local folder = server.folder {}
        local s = server.start { script = SITE, workers = 2, cwd = folder, listen = { "unix:" .. folder .. "/door" } }
        local function hold(number) -- the next to start as this one
            local file, pid = process.write_file(folder .. "/hold." .. number, ""), pid_of(s, number)
            signal.kill(pid, signal.SIGKILL)
            s:wait_log(("worker %d %%(pid %d%%): killed by SIGKILL"):format(number, pid))
            return file
        end
        local first = hold(1) -- what comes now is the other's: they have one socket
        for _ = 1, 3 do
            local c = s:connect()
            c:send(http_text.request("GET", "/machine"))
            c:expect_close()
        end
        assert.equal(503, s:get("/machine").status)
        os.remove(first)
        s:wait_log("worker 1 %(pid %d+%): serves")
        local second = hold(2)
        assert.equal("1", s:get("/").body)
        assert.equal(503, s:get("/machine").status)
        os.remove(second)
        assert.same({ "GET /machine" }, status(s).closed_routes)
        s:stop()
    end)
end)
