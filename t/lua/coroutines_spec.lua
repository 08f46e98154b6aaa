local worker = require("t.support.fake_worker").install()
local raw = coroutine
local coroutine = require("moongate.coroutines").wrap_library()
local coroutines = require "moongate.coroutines"
local mg = require "moongate.tasks"

local run = worker.run

describe("coroutines", function()
    it("wait inside a script's coroutine as if there were none", function()
        run(function()
            local from = worker.now
            local co = coroutine.create(function(a, b)
                mg.sleep(1)
                local c = coroutine.yield(a + b)
                mg.sleep(1)
                local d, e = coroutine.yield(c * 2, nil)
                return d, e, nil
            end)
            assert.same({ n = 2, true, 3 }, { n = select("#", coroutine.resume(co, 1, 2)), true, 3 })
            assert.equal(1000, worker.now - from)
            assert.same({ n = 3, true, 20, nil }, { n = 3, coroutine.resume(co, 10) })
            assert.equal(2000, worker.now - from)
            assert.same({ n = 4, true, "d", "e", nil }, { n = 4, coroutine.resume(co, "d", "e") })
            assert.equal("dead", coroutine.status(co))
            assert.same({ false, "cannot resume dead coroutine" }, { coroutine.resume(co) })
        end)
    end)

    it("keep the values between resume and yield, nils too", function()
        run(function()
            local seen
            local co = coroutine.create(function(...)
                mg.sleep(0.001)
                seen = { n = select("#", ...), ... }
                seen.second = { n = select("#", coroutine.yield(nil, 1, nil)) }
            end)
            local first = { n = select("#", coroutine.resume(co, nil, 2, nil)) }
            assert.equal(4, first.n)
            coroutine.resume(co, nil, nil)
            assert.equal(3, seen.n)
            assert.equal(2, seen.second.n)
        end)
    end)

    it("wait at any depth", function()
        run(function()
            local from = worker.now
            local function nest(depth)
                if depth == 0 then mg.sleep(1) return "deep" end
                return coroutine.wrap(function() return nest(depth - 1) end)()
            end
            assert.equal("deep", nest(20))
            assert.equal(1000, worker.now - from)
        end)
    end)

    it("serve as generators that wait", function()
        run(function()
            local sum = 0
            for i in coroutine.wrap(function() for i = 1, 5 do mg.sleep(0.1) coroutine.yield(i) end end) do
                mg.sleep(0.1)
                sum = sum + i
            end
            assert.equal(15, sum)
        end)
    end)

    it("of several tasks wait beside each other", function()
        run(function()
            local from = worker.now
            local function in_coroutine() return coroutine.wrap(function() mg.sleep(1) return raw.running() end)() end
            local a, b = mg.all(in_coroutine, in_coroutine)
            assert.not_equal(a, b)
            assert.equal(1000, worker.now - from)
        end)
    end)

    it("have the right status, also while they wait", function()
        run(function()
            local outer
            outer = coroutine.create(function()
                assert.equal("running", coroutine.status(outer))
                assert.equal(outer, (coroutine.running()))
                local inner = coroutine.create(function() assert.equal("normal", coroutine.status(outer)) end)
                assert.is_true(coroutine.resume(inner))
                mg.sleep(1)
            end)
            assert.equal("suspended", coroutine.status(outer))
            mg.spawn(function()
                mg.sleep(0.5)
                assert.equal("normal", coroutine.status(outer))
                local ok, message = coroutine.resume(outer)
                assert.is_false(ok)
                assert.matches("cannot resume a coroutine that is waiting", message)
            end)
            assert.same({ true }, { coroutine.resume(outer) })
            assert.equal("dead", coroutine.status(outer))
        end)
        assert.equal(0, #worker.logs)
    end)

    it("report errors after a wait like errors before", function()
        run(function()
            local co = coroutine.create(function() mg.sleep(1) error("boom", 0) end)
            assert.same({ false, "boom" }, { coroutine.resume(co) })
            local failure = {}
            local wrapped = coroutine.wrap(function() mg.sleep(1) error(failure) end)
            local ok, raised = pcall(wrapped)
            assert.is_false(ok)
            assert.equal(failure, raised)
            assert.same({ false }, { (coroutine.resume(coroutine.create(function() error(nil) end))) })
        end)
    end)

    it("end with the task that is cancelled while they wait", function()
        local went_on = false
        run(function()
            local task = mg.spawn(function()
                coroutine.resume(coroutine.create(function()
                    coroutine.resume(coroutine.create(function() mg.sleep(60) end))
                    went_on = true
                end))
                went_on = true
            end)
            mg.sleep(1)
            task:cancel()
            assert.equal("cancelled", (select(2, task:join())))
        end)
        assert.is_false(went_on)
    end)

    it("refuse a yield outside of a script's coroutine: it would go to the scheduler", function()
        run(function()
            assert.is_false(coroutine.isyieldable())
            local ok, message = pcall(function() coroutine.yield(1) end)
            assert.is_false(ok)
            assert.matches("coroutines_spec.lua:%d+: coroutine.yield outside of a coroutine", message)
            assert.is_true(coroutine.wrap(function() return coroutine.isyieldable() end)())
        end)
    end)

    it("explain a wait inside a callback of a C function", function()
        run(function()
            local co = coroutine.create(function() table.sort({ 2, 1 }, function(a, b) mg.sleep(1) return a < b end) end)
            local ok, message = coroutine.resume(co)
            assert.is_false(ok)
            assert.matches("cannot wait inside a callback of a C function %(table.sort, string.gsub", message)
        end)
        assert.equal("other", coroutines.explain("other"))
        local value = {}
        assert.equal(value, coroutines.explain(value))
    end)

    it("refuse what is not a function, at the caller's line", function()
        for _, name in ipairs { "create", "wrap" } do
            local ok, message = pcall(function() local x = coroutine[name](7) return x end)
            assert.is_false(ok)
            assert.matches("coroutines_spec.lua:%d+: bad argument #1 to '" .. name .. "'", message)
        end
    end)

    it("have all functions of the plain library", function()
        for name in pairs(raw) do assert.is_function(coroutine[name], name) end
    end)
end)
