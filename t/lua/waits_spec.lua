--- Every wait there is: each is of a kind that waits.lua names, and each kind ends by itself when nobody ends it. A new wait without an end,
--- or without a proof here or in t/wire/endless_spec.lua, fails.
package.loaded["moongate.waits"] = nil
local worker = require("t.support.fake_worker").install()
local await, loop = worker.await, worker.loop
local waits = require "moongate.waits"
package.loaded["moongate.tasks"], package.loaded["moongate.spool"] = nil, nil
local mg = require "moongate.tasks"
local sync = require "moongate.sync"
local spool = require "moongate.spool"
local tree = require "t.support.tree"

local LIMIT = 5000

local function for_ever() mg.sleep(1e6) end

--- What such a wait gives, and how long it took.
local function timed(fn)
    local began = worker.now
    local results = { worker.run(function() return fn() end) }
    return worker.now - began, unpack(results, 1, 4)
end

--- One per kind that ends here; the others are shown over sockets.
local PROOFS = {
    sleep = function()
        local took, slept = timed(function() return mg.sleep(2) end)
        assert.same({ 2000, true }, { took, slept })
    end,
    timeout = function()
        local took, value, message, code = timed(function() return mg.timeout(3, for_ever) end)
        assert.same({ 3000, nil, "timeout", "timeout" }, { took, value, message, code })
    end,
    join = function()
        local took, value, message, code = timed(function() return mg.spawn(for_ever):join() end)
        assert.same({ LIMIT, "join: waited 5s (limits.task_wait)", "timeout" }, { took, message, code })
        assert.is_nil(value)
    end,
    several = function()
        for _, name in ipairs { "all", "any", "race" } do
            local took, value, message, code = timed(function() return mg[name](for_ever, for_ever) end)
            assert.same({ LIMIT, ("mg.%s: waited 5s (limits.task_wait)"):format(name), "timeout" }, { took, message, code })
            assert.is_nil(value)
        end
    end,
    line = function()
        local group = sync.wait_group()
        group:add()
        for name, wait in pairs {
            receive = function() return sync.channel():receive() end, wait = function() return group:wait() end,
        } do
            local took, value, message, code = timed(wait)
            assert.same({ LIMIT, name .. ": waited 5s (limits.task_wait)", "timeout" }, { took, message, code })
            assert.is_nil(value)
        end
    end,
    save = function() -- a disk that does not answer
        local pieces = { "piece" }
        local took, value, message, code = timed(function()
            return spool.write("file", function() return table.remove(pieces) end)
        end)
        assert.same({ LIMIT, "file: error 110", -110 }, { took, message, code })
        assert.is_nil(value)
    end,
    turn = function()
        assert.is_true((timed(function() await.breathe(2) end)) < 3)
    end,
}

--- Where it is shown over sockets, or why there is nothing to show.
local ELSEWHERE = {
    body = "t/wire/endless_spec.lua", output = "t/wire/endless_spec.lua", sent = "t/wire/endless_spec.lua", hooks = "t/wire/endless_spec.lua",
    server = "t/wire/endless_spec.lua",
    disk = "what the kernel reads must not be let go of; who waits for it is of the kind save",
}

local function sources()
    local list = {}
    for path, text in tree.each("%.lua$", "lua/moongate") do list[path] = text end
    return list
end

describe("waiting", function()
    before_each(function()
        waits.task_ms, waits.hook_ms = LIMIT, 2000
        function worker.C.mg_random(ret) require("ffi").copy(ret, "abcdefgh", 8) end
        function worker.C.mg_file_open() return 3 end
        function worker.C.mg_file_close() return 0 end
        function worker.C.mg_file_write() return 0 end
    end)
    after_each(function() waits.task_ms, waits.hook_ms = math.huge, math.huge end)

    it("is of a known kind at every place, and every kind is used", function()
        local used = { turn = true }
        for name, text in pairs(sources()) do
            local is_own = name:match("/await%.lua$")
            for call, kind in text:gmatch("await%.(wait[_raw]*)(%b())") do
                local named = kind:match('^%("(%l+)"')
                assert(call == "wait" or call == "wait_raw", name)
                assert(is_own or named and waits.KINDS[named], ("%s: await.%s%s: of which kind?"):format(name, call, kind))
                if named then used[named] = true end
            end
            if not is_own and not name:match("/coroutines%.lua$") and not name:match("/chain%.lua$") and not name:match("/isolate%.lua$") then
                assert(not text:find("raw_yield", 1, true), name .. " yields by itself")
            end
        end
        for kind in pairs(waits.KINDS) do assert(used[kind], kind .. ": nobody waits so") end
    end)

    it("names settings that there are, and takes the limit where it is the scheduler's", function()
        local settings = tree.text "src/gate/settings.tbl.h"
        for kind, ends in pairs(waits.KINDS) do
            if ends:match("^limits%.") then assert(settings:find('"' .. ends .. '"', 1, true), ends) end
            if ends == "limits.task_wait" then
                local found = false
                for _, text in pairs(sources()) do found = found or text:match('wait_raw%("' .. kind .. '", [%w_.]*ms%)') ~= nil end
                assert(found, kind .. ": waits without its limit")
            end
        end
    end)

    it("raises for a kind that nobody has heard of", function()
        assert.has_error(function()
            worker.run(function() await.token() await.wait("godot") end)
        end)
    end)

    for kind in pairs(waits.KINDS) do
        it("ends by itself: " .. kind, function()
            assert(PROOFS[kind] or ELSEWHERE[kind], "no proof")
            if PROOFS[kind] then PROOFS[kind]() end
        end)
    end

    it("goes on for as long as is said, at the call or around it", function()
        assert.equal(8000, (timed(function() return mg.spawn(for_ever):join(8) end)))
        assert.equal(9000, (timed(function() return mg.timeout(9, function() return mg.all(for_ever, function() mg.race(for_ever) end) end) end)))
        waits.task_ms = math.huge
        local took, value = timed(function() return mg.spawn(function() mg.sleep(100) return "late" end):join() end)
        assert.same({ 100000, "late" }, { took, value })
    end)

    it("of those that end in time leaves nothing behind", function()
        local joined = mg.spawn and worker.run(function()
            local task = mg.spawn(function() mg.sleep(1) return "done" end)
            local first = { task:join("500ms") }
            return { first[3], task:join() }
        end)
        assert.same({ "timeout", "done" }, joined)
    end)

    it("is told by kind, with the longest", function()
        local report = worker.run(function()
            local task = mg.spawn(for_ever)
            mg.sleep(1)
            mg.spawn(function() task:join() end)
            mg.sleep(1)
            local rows = await.report()
            task:cancel()
            return rows
        end)
        assert.equal(1, report.join.count)
        assert.is_true(report.sleep.longest_ms >= 2000)
    end)

    describe("on after it was cancelled", function()
        it("is given up when its time to clean up is over", function()
            local given_up, ended = nil, nil
            loop.handle { error = error, task_error = function() end, given_up = function(task, text) given_up = { task.where, text } end, events = {} }
            worker.run(function()
                local began = worker.now
                local task = mg.spawn(function() while true do pcall(mg.sleep, 1) end end)
                mg.sleep(0.01)
                task:cancel()
                local _, _, code = task:join()
                ended = { code, worker.now - began }
            end)
            assert.equal("cancelled", ended[1])
            assert.is_true(ended[2] >= 2000 and ended[2] < 2100, ended[2])
            assert.matches("waits_spec", given_up[1])
            assert.matches("waits_spec%.lua:%d+", given_up[2])
        end)

        it("may clean up for as long", function()
            local cleaned = false
            worker.run(function()
                local task = mg.spawn(function()
                    pcall(mg.sleep, 60)
                    mg.sleep(1.9)
                    cleaned = true
                end)
                mg.sleep(0.01)
                task:cancel()
                task:join()
            end)
            assert.is_true(cleaned)
        end)
    end)

    it("in a hook ends with its time, and the next hook has its own", function()
        local rows = worker.run(function()
            local function hook(seconds) return { await.within(function() mg.sleep(seconds) return "ok" end, tostring) } end
            return { hook(1.9), hook(60), hook(1.9) }
        end)
        assert.same({ true, "ok", nil, false }, { unpack(rows[1], 1, 4) })
        assert.same({ false, true }, { rows[2][1], rows[2][4] })
        assert.same({ true, "ok", nil, false }, { unpack(rows[3], 1, 4) })
    end)

    it("is not limited where the worker has no timer for it, and by the next one that has", function()
        worker.timers_max = 0
        waits.watch(worker.now + 1)
        worker.timers_max = math.huge
        waits.watch(worker.now + 20)
        local last = worker.timers[#worker.timers]
        assert.same({ waits.LOOK, worker.now + 20 }, { last.token, last.at })
    end)
end)
