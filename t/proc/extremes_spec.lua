--- Many of what there usually are few of, and ends in the middle of things.
local instance = require "t.support.instance"
local process = require "t.support.process"
local reloads = require "t.support.reloads"
local server = require "t.support.server"
local signal = require "posix.signal"

before_each(reloads.begin)
after_each(reloads.sweep)

local function say(text) return ("app:get('/say', function() return '%s' end)"):format(text) end

--- A reload that is going on: its start hooks wait for a flag.
local function begin_reload(r)
    r:write("app:on_start(function() note 'begun' flag 'go' end)\n" .. say "new")
    local child = instance.spawn { "reload", "--name", r.server.name }
    r:wait_note "begun"
    return child
end

describe("an instance", function()
    it("of 32 workers is reloaded, told and stopped like any other", function()
        local r = reloads.start(say "old", { workers = 32, seconds = 30 })
        assert.equal(32, #r.server:workers())
        assert.matches("^generation 2 in 32 workers", r:reload(say "new"))
        for _ = 1, 40 do assert.equal("new", r:get("/say").body) end
        local code, text = instance.run({ "status", "--name", r.server.name }, 10)
        assert.equal(0, code)
        assert.matches("\n32 +%d+ +serving", text)
        r.server:stop()
    end)

    it("that is asked to end in the middle of a reload ends in time, and the reload is told", function()
        local r = reloads.start(say "old", { workers = 2 })
        local child = begin_reload(r)
        r.server:stop(signal.SIGTERM)
        local how, code = child:wait(5)
        assert.equal("exited", how)
        assert.is_true(code ~= 0)
    end)

    it("whose master is killed in the middle of a reload leaves no worker behind", function()
        local r = reloads.start(say "old", { workers = 2 })
        local workers, child = r.server:workers(), begin_reload(r)
        signal.kill(r.server.pid, signal.SIGKILL)
        local how, code = child:wait(5)
        assert.equal("exited", how)
        assert.is_true(code ~= 0)
        r:raise "go"
        instance.wait_until(function()
            for _, pid in ipairs(workers) do
                if process.exists(pid) then return false end
            end
            return true
        end, 10)
        r.server:kill()
    end)

    it("that watches takes ten thousand events in its folder for one change", function()
        local r = reloads.start(say "old", { args = { "--watch" } })
        for at = 1, 10000 do process.write_file(("%s/other%d"):format(r.folder, at % 20), "x") end
        assert.equal(1, instance.status(r.server.name).generation)
        r:write(say "new")
        instance.wait_until(function() return r:get("/say").body == "new" end, 10)
        instance.wait_until(function() return instance.status(r.server.name).reload.state == "idle" end)
        assert.is_true(instance.status(r.server.name).generation <= 3)
        r.server:stop()
    end)
end)
