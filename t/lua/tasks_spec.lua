local worker = require("t.support.fake_worker").install()
local mg = require "moongate.tasks"
local await = worker.await

local function run(fn) return worker.run(fn) end
local function value_after(ms, ...)
    local values = { n = select("#", ...), ... }
    return function()
        mg.sleep(ms / 1000)
        return unpack(values, 1, values.n)
    end
end

describe("tasks", function()
    local from
    before_each(function()
        worker.timers, worker.logs, worker.cancelled_timers, worker.timers_max = {}, {}, 0, math.huge
        from = worker.now
    end)
    local function passed() return worker.now - from end

    describe("sleep", function()
        it("waits as long as it says, in seconds or with a unit", function()
            assert.is_true(run(function() return mg.sleep(1.5) end))
            assert.equal(1500, passed())
            run(function() mg.sleep("300ms") mg.sleep("2s") mg.sleep("300ms") end)
            assert.equal(4100, passed())
        end)

        it("raises at the caller's line for what is not a duration", function()
            local ok, message = pcall(run, function() mg.sleep("soon") end)
            assert.is_false(ok)
            assert.matches("tasks_spec.lua:%d+: mg.sleep: expected a duration", message)
        end)

        it("says when there is no timer left", function()
            worker.timers_max = 0
            local slept, message, code = run(function() return mg.sleep(1) end)
            assert.is_nil(slept)
            assert.matches("timer", message)
            assert.equal(-105, code)
        end)

        it("ends at once when its task is cancelled, and gives its timer back", function()
            local went_on = false
            run(function()
                local task = mg.spawn(function() mg.sleep(60) went_on = true end)
                mg.sleep(1)
                task:cancel()
                local _, message, code = task:join()
                assert.equal("cancelled", message)
                assert.equal("cancelled", code)
            end)
            assert.is_false(went_on)
            assert.equal(1000, passed())
            assert.equal(0, #worker.timers)
            assert.equal(0, #worker.logs)
        end)
    end)

    describe("spawn", function()
        it("runs beside its parent and hands over what it returned, nils too", function()
            run(function()
                local order = {}
                local task = mg.spawn(function(a, b) order[#order + 1] = "child" mg.sleep(1) return a, nil, b, nil end, 1, 2)
                order[#order + 1] = "parent"
                local results = { n = select("#", task:join()), task:join() }
                assert.same({ n = 4, 1, nil, 2, nil }, results)
                assert.same({ "parent", "child" }, order)
            end)
        end)

        it("can be joined by several and after its end", function()
            run(function()
                local task = mg.spawn(value_after(1000, "x"))
                local a, b = mg.all(function() return task:join() end, function() return task:join() end)
                assert.same({ "x", "x", "x" }, { a, b, (task:join()) })
            end)
            assert.equal(1000, passed())
        end)

        it("logs an error that nobody waits for, with its traceback and where it was spawned", function()
            run(function()
                mg.spawn(function() error("boom") end)
                mg.sleep(1)
            end)
            assert.equal(1, #worker.logs)
            assert.matches("tasks_spec.lua:%d+: boom\nstack traceback:", worker.logs[1].text)
            assert.matches("tasks_spec.lua:%d+$", worker.logs[1].where)
        end)

        it("gives an error to who joins, without logging it", function()
            run(function()
                local task = mg.spawn(function() mg.sleep(1) error("boom") end)
                local value, message, code = task:join()
                assert.is_nil(value)
                assert.matches("boom", message)
                assert.equal("error", code)
                local raised = mg.spawn(function() error({ status = 409, message = "taken" }, 0) end)
                assert.same({ n = 3, nil, "taken", 409 }, { n = 3, raised:join() })
            end)
            assert.equal(0, #worker.logs)
        end)

        it("never begins a task that was cancelled before", function()
            local began = false
            run(function()
                local task = mg.spawn(function() began = true end)
                task:cancel()
                assert.equal("cancelled", (select(2, task:join())))
            end)
            assert.is_false(began)
        end)

        it("lives on when its parent is cancelled", function()
            local finished = false
            run(function()
                local parent = mg.spawn(function()
                    mg.spawn(function() mg.sleep(2) finished = true end):join()
                end)
                mg.sleep(1)
                parent:cancel()
                mg.sleep(5)
            end)
            assert.is_true(finished)
        end)

        it("ends a join when the joining task is cancelled", function()
            run(function()
                local slow = mg.spawn(value_after(9000, 1))
                local joining = mg.spawn(function() return slow:join() end)
                mg.sleep(1)
                joining:cancel()
                assert.equal("cancelled", (select(2, joining:join())))
                assert.is_false(slow.ended)
            end)
            assert.equal(1000, passed())
        end)

        it("raises for what is not a function", function()
            local ok, message = pcall(run, function() mg.spawn("x") end)
            assert.is_false(ok)
            assert.matches("tasks_spec.lua:%d+: mg.spawn: expected a function, got string", message)
        end)
    end)

    describe("all", function()
        it("gives the first results in the order of the functions, after the longest", function()
            run(function()
                assert.same({ n = 3, "a", nil, "c" }, { n = 3, mg.all(value_after(3000, "a", "more"), value_after(1000), value_after(2000, "c")) })
            end)
            assert.equal(3000, passed())
        end)

        it("takes and gives a list", function()
            run(function()
                assert.same({ n = 2, "a", "b" }, mg.all { value_after(2, "a"), value_after(1, "b") })
                assert.same({ n = 0 }, mg.all {})
            end)
        end)

        it("returns the first returned failure and cancels the others", function()
            run(function()
                assert.same({ n = 3, nil, "refused", 111 },
                    { n = 3, mg.all(value_after(60000, "a"), value_after(1000, nil, "refused", 111), value_after(2000, nil, "later")) })
            end)
            assert.equal(1000, passed())
            run(function() mg.sleep(0.001) end)
            assert.equal(0, #worker.timers)
        end)

        it("raises the first error again, cancels the others, logs the traceback", function()
            local ok, message = pcall(run, function() return mg.all(value_after(60000), function() mg.sleep(1) error("boom") end) end)
            assert.is_false(ok)
            assert.matches("tasks_spec.lua:%d+: boom$", message)
            run(function() mg.sleep(0.001) end)
            assert.equal(0, #worker.timers)
            assert.equal(1, #worker.logs)
            assert.matches("stack traceback", worker.logs[1].text)
        end)

        it("passes an answer raised in it on as it is, unlogged", function()
            local ok, failure = pcall(run, function() return mg.all(function() error({ status = 404 }, 0) end) end)
            assert.is_false(ok)
            assert.same({ status = 404 }, failure)
            assert.equal(0, #worker.logs)
        end)

        it("cancels what it runs when its own task is cancelled, at every depth", function()
            local went_on = 0
            local function slow() mg.sleep(60) went_on = went_on + 1 end
            run(function()
                local task = mg.spawn(function()
                    mg.all(slow, function() mg.any(slow, function() mg.timeout(50, function() mg.race(slow, slow) end) end) end)
                    went_on = went_on + 1
                end)
                mg.sleep(1)
                assert.equal(7, #worker.timers + 1) -- one looks after the waits that are below a time limit (waits.lua)
                task:cancel()
                assert.equal("cancelled", (select(2, task:join())))
                mg.sleep(0.001)
            end)
            assert.equal(0, went_on)
            assert.equal(1, #worker.timers) -- that one, which finds nothing
            assert.equal(0, #worker.logs)
        end)

        it("ends when functions end without waiting", function()
            run(function() assert.same({ 1, 2 }, { mg.all(function() return 1 end, function() return 2 end) }) end)
            assert.equal(0, passed())
        end)

        it("raises for what is not a function", function()
            for _, name in ipairs { "all", "any", "race" } do
                local ok, message = pcall(run, function() mg[name](print, 7) end)
                assert.is_false(ok)
                assert.matches("tasks_spec.lua:%d+: mg." .. name .. ": expected a function, got number", message)
            end
            assert.is_false(pcall(run, function() mg.any {} end))
            assert.is_false(pcall(run, function() mg.race {} end))
        end)
    end)

    describe("any", function()
        it("gives the first success, whatever failed before, and cancels the rest", function()
            run(function()
                assert.same({ "b", "c" }, { mg.any(value_after(1000, nil, "no"), value_after(2000, "b", "c"), value_after(60000, "d")) })
                mg.sleep(0.001)
            end)
            assert.equal(2001, passed())
            assert.equal(0, #worker.timers)
        end)

        it("gives the last failure when all fail", function()
            run(function()
                assert.same({ n = 2, nil, "late" }, { n = 2, mg.any { value_after(2000, nil, "late"), value_after(1000, nil, "early") } })
            end)
        end)

        it("logs an error and goes on with the others", function()
            run(function() assert.equal("ok", mg.any(function() error("boom") end, value_after(10, "ok"))) end)
            assert.equal(1, #worker.logs)
        end)
    end)

    describe("race", function()
        it("gives what the first to end returned, success or not", function()
            run(function()
                assert.same({ n = 2, nil, "no" }, { n = 2, mg.race(value_after(2000, "b"), value_after(1000, nil, "no")) })
                assert.equal("fast", mg.race { value_after(2000, "slow"), value_after(1000, "fast") })
            end)
            assert.equal(2000, passed())
        end)
    end)

    describe("timeout", function()
        it("gives what the function returned when it is in time, and its timer back", function()
            run(function() assert.same({ n = 3, 7, nil, 8 }, { n = 3, mg.timeout("2s", function(x) mg.sleep(1) return x, nil, 8 end, 7) }) end)
            assert.equal(1000, passed())
            assert.equal(0, #worker.timers)
        end)

        it("gives nil, \"timeout\" after the time, and cancels the function", function()
            local went_on = false
            run(function()
                assert.same({ n = 3, nil, "timeout", "timeout" }, { n = 3, mg.timeout(1, function() mg.sleep(2) went_on = true end) })
                assert.equal(1000, passed())
                mg.sleep(5)
            end)
            assert.is_false(went_on)
        end)

        it("raises an error of the function again", function()
            local ok, message = pcall(run, function() mg.timeout(1, function() error("boom") end) end)
            assert.is_false(ok)
            assert.matches("boom", message)
            assert.equal(0, #worker.timers)
        end)

        it("lets the inner of two limits strike first", function()
            run(function()
                local inner
                local outer = mg.timeout(2, function()
                    inner = { n = 3, mg.timeout(1, mg.sleep, 9) }
                    return "went on"
                end)
                assert.equal("went on", outer)
                assert.same({ n = 3, nil, "timeout", "timeout" }, inner)
            end)
        end)
    end)

    describe("after", function()
        it("runs the function then", function()
            local at
            run(function()
                mg.after("250ms", function(x) at = { passed(), x } end, "arg")
                mg.sleep(1)
            end)
            assert.same({ 250, "arg" }, at)
        end)

        it("does not when it is cancelled before", function()
            local ran = false
            run(function()
                local handle = mg.after(1, function() ran = true end)
                mg.sleep(0.5)
                handle:cancel()
                mg.sleep(5)
            end)
            assert.is_false(ran)
            assert.equal(1, worker.cancelled_timers)
        end)
    end)

    describe("every", function()
        it("runs at its beats, without drift, never overlapping itself", function()
            local at, work = {}, { 0, 300, 0, 2500, 0, 0 }
            run(function()
                local handle
                handle = mg.every(1, function()
                    at[#at + 1] = passed()
                    if #at == 6 then return handle:cancel() end
                    if work[#at] > 0 then mg.sleep(work[#at] / 1000) end
                end)
                handle:join()
            end)
            -- The fourth began at 4000 and took 2500: the beats at 5000 and 6000 are left out.
            assert.same({ 1000, 2000, 3000, 4000, 7000, 8000 }, at)
        end)

        it("logs an error with its place and goes on", function()
            local count = 0
            run(function()
                local handle = mg.every(1, function()
                    count = count + 1
                    if count == 1 then error("boom") end
                end)
                mg.sleep(3.5)
                handle:cancel()
                mg.sleep(5)
            end)
            assert.equal(3, count)
            assert.equal(1, #worker.logs)
            assert.equal(3, worker.logs[1].level)
            assert.matches("^mg.every at .*tasks_spec.lua:%d+: .*tasks_spec.lua:%d+: boom$", worker.logs[1].text)
        end)

        it("can be cancelled in the middle of a run", function()
            local ended = false
            run(function()
                local handle = mg.every(1, function() mg.sleep(60) ended = true end)
                mg.sleep(2)
                handle:cancel()
                assert.equal("cancelled", (select(2, handle:join())))
            end)
            assert.is_false(ended)
            assert.equal(0, #worker.timers)
        end)

        it("raises for a distance of 0", function()
            local ok, message = pcall(run, function() mg.every(0, print) end)
            assert.is_false(ok)
            assert.matches("tasks_spec.lua:%d+: mg.every: expected a duration above 0", message)
        end)
    end)

    it("leaves no task behind", function()
        run(function() mg.sleep(100) end)
        local before = await.count()
        run(function()
            for _ = 1, 50 do
                mg.all(value_after(1), value_after(2))
                mg.any(value_after(1, 1), value_after(9, 2))
                mg.timeout(0.001, mg.sleep, 5)
            end
            mg.sleep(100)
        end)
        assert.equal(before, await.count())
    end)
end)
