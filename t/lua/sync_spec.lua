--- Channels, semaphores, mutexes and groups over the real scheduler and a clock that moves when everybody waits.
local worker = require("t.support.fake_worker").install()
package.loaded["moongate.tasks"], package.loaded["moongate.sync"], package.loaded["moongate.waits"] = nil, nil, nil
local mg = require "moongate.tasks"
local sync = require "moongate.sync"

local function run(fn) return worker.run(fn) end
local function told(...) return { n = select("#", ...), ... } end

describe("a channel", function()
    it("hands values over in order, and lets as many wait in it as it may", function()
        run(function()
            local channel, got = sync.channel(2), {}
            assert.is_true(channel:send(1))
            assert.is_true(channel:send(2))
            assert.same({ n = 3, nil, "send: waited 0ms", "timeout" }, told(channel:send(3, 0)))
            local sender = mg.spawn(function() for i = 3, 6 do channel:send(i) end channel:close() end)
            for value in channel:values() do got[#got + 1] = value end
            assert.same({ 1, 2, 3, 4, 5, 6 }, got)
            sender:join()
            assert.same({ n = 3, nil, "the channel is closed", "closed" }, told(channel:receive()))
            assert.same({ n = 3, nil, "the channel is closed", "closed" }, told(channel:send(1)))
        end)
    end)

    it("without room is a meeting", function()
        run(function()
            local channel, order = sync.channel(0), {}
            mg.spawn(function() channel:send("a") order[#order + 1] = "sent" end)
            mg.sleep(1)
            assert.same({}, order)
            assert.equal("a", channel:receive())
            mg.sleep(1)
            assert.same({ "sent" }, order)
            mg.spawn(function() order[#order + 1] = channel:receive() end)
            mg.sleep(1)
            assert.is_true(channel:send("b", 0))
            mg.sleep(1)
            assert.same({ "sent", "b" }, order)
        end)
    end)

    it("gives up waiting when the time is over, and loses nothing by it", function()
        run(function()
            local channel, from = sync.channel(1), worker.now
            assert.same({ n = 3, nil, "receive: waited 2s", "timeout" }, told(channel:receive("2s")))
            assert.is_true(worker.now - from >= 2000)
            channel:send("first")
            assert.is_nil((channel:send("second", "1s")))
            assert.equal("first", channel:receive())
            assert.is_nil((channel:receive(0)))
        end)
    end)

    it("keeps a value whose receiver is cancelled in the moment in which it is served", function()
        run(function()
            local channel, got = sync.channel(0), nil
            local lost = mg.spawn(function() got = channel:receive() end)
            mg.sleep(1)
            channel:send("value")
            lost:cancel()
            mg.sleep(1)
            assert.is_nil(got)
            assert.equal("value", channel:receive(0))
            local waiting = mg.spawn(function() channel:send("never") end)
            mg.sleep(1)
            waiting:cancel()
            mg.sleep(1)
            assert.is_nil((channel:receive(0)))
        end)
    end)

    it("tells those who wait when it is closed", function()
        run(function()
            local empty, full = sync.channel(0), sync.channel(1)
            full:send(1)
            local a = mg.spawn(function() return empty:receive() end)
            local b = mg.spawn(function() return full:send(2) end)
            mg.sleep(1)
            empty:close()
            full:close()
            assert.same({ n = 3, nil, "the channel is closed", "closed" }, told(a:join()))
            assert.same({ n = 3, nil, "the channel is closed", "closed" }, told(b:join()))
            assert.equal(1, full:receive())
        end)
    end)

    it("keeps its order with many who come, go and are cancelled", function()
        run(function()
            local channel, got, tasks = sync.channel(3), {}, {}
            for i = 1, 200 do tasks[i] = mg.spawn(function() channel:send(i) end) end
            mg.sleep(1)
            for i = 7, 200, 3 do tasks[i]:cancel() end
            while true do
                local value = channel:receive(0)
                if not value then break end
                got[#got + 1] = value
                if #got % 10 == 0 then mg.sleep("1ms") end
            end
            local wanted = {}
            for i = 1, 200 do if i < 7 or (i - 7) % 3 ~= 0 then wanted[#wanted + 1] = i end end
            assert.same(wanted, got)
        end)
    end)

    it("refuses nil, and capacities that are none, at the caller's line", function()
        assert.matches("sync_spec.lua:%d+: mg.channel: expected a capacity from 0 to 65536", select(2, pcall(function() sync.channel(-1) end)))
        assert.error_matches(function() sync.channel(0.5) end, "mg.channel")
        assert.error_matches(function() sync.channel(1):send(nil) end, "send: nil cannot be sent")
        assert.error_matches(function() return sync.channel(1).push end, "channel has no \"push\"")
    end)
end)

describe("a semaphore", function()
    it("lets so many in at once, and the others one after the other", function()
        run(function()
            local semaphore, most, now, order = sync.semaphore(2), 0, 0, {}
            local tasks = {}
            for i = 1, 6 do
                tasks[i] = mg.spawn(function()
                    semaphore:with(function()
                        now = now + 1
                        most, order[#order + 1] = math.max(most, now), i
                        mg.sleep(1)
                        now = now - 1
                    end)
                end)
            end
            for i = 1, 6 do tasks[i]:join() end
            assert.same({ 2, 0, 2, { 1, 2, 3, 4, 5, 6 } }, { most, now, semaphore.free, order })
        end)
    end)

    it("is released by an error, and handed on by who is cancelled while it is served", function()
        run(function()
            local semaphore = sync.semaphore(1)
            assert.error_matches(function() semaphore:with(error, "oops", 0) end, "oops")
            assert.is_true(semaphore:acquire())
            local lost = mg.spawn(function() semaphore:acquire() end)
            mg.sleep(1)
            semaphore:release()
            lost:cancel()
            mg.sleep(1)
            assert.equal(1, semaphore.free)
            assert.is_true(semaphore:acquire(0))
            assert.same({ n = 3, nil, "acquire: waited 10ms", "timeout" }, told(semaphore:acquire("10ms")))
            semaphore:release()
            assert.error_matches(function() semaphore:release() end, "more often than acquire")
        end)
    end)
end)

describe("a mutex", function()
    it("is for one task at a time, which must be the one that unlocks it", function()
        run(function()
            local mutex, log = sync.mutex(), {}
            local a = mg.spawn(function() mutex:with(function() log[#log + 1] = "a in" mg.sleep(2) log[#log + 1] = "a out" end) end)
            mg.sleep(1)
            assert.matches("sync_spec.lua:%d+: unlock: this task does not have it", select(2, pcall(function() mutex:unlock() end)))
            assert.equal("b", mutex:with(function() log[#log + 1] = "b" return "b" end))
            a:join()
            assert.same({ "a in", "a out", "b" }, log)
            mutex:lock()
            assert.error_matches(function() mutex:lock() end, "lock: this task has it already")
            local c = mg.spawn(function() return mutex:lock "1s" end)
            assert.same({ n = 3, nil, "lock: waited 1s", "timeout" }, told(c:join()))
            mutex:unlock()
            assert.is_false(mutex.owner)
        end)
    end)
end)

describe("a group", function()
    it("is waited for by many until all are done", function()
        run(function()
            local group, ended = sync.wait_group(), 0
            assert.is_true(group:wait(0))
            for i = 1, 5 do
                group:add()
                mg.spawn(function() mg.sleep(i) ended = ended + 1 group:done() end)
            end
            local other = mg.spawn(function() return group:wait() end)
            assert.same({ n = 3, nil, "wait: waited 1s", "timeout" }, told(group:wait("1s")))
            assert.is_true(group:wait())
            assert.equal(5, ended)
            assert.is_true(other:join())
            assert.error_matches(function() group:done() end, "done: more often than add")
        end)
    end)
end)
