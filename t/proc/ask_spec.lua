--- Questions to the workers, and `moongate generations` on top of them: src/proc/ask.c, client.c, lua/moongate/cli_generations.lua.
local cjson = require "cjson"
local generations = require "moongate.cli_generations"
local instance = require "t.support.instance"
local server = require "t.support.server"
local wire = require "t.support.wire"
local signal = require "posix.signal"

local function ask(s, question) return instance.control(s.name, "ask " .. question .. "\n") end

local function answers(s, question)
    local list = cjson.decode(ask(s, question))
    table.sort(list, function(a, b) return a.worker < b.worker end)
    return list
end

describe("a question", function()
    before_each(instance.begin)
    after_each(instance.sweep)

    it("goes to every worker; the answers come as one array", function()
        local s = instance.start("workers 3")
        local list = answers(s, 'explain {"path":"/"}')
        assert.equal(3, #list)
        local pids = {}
        for _, pid in ipairs(s:workers()) do pids[pid] = true end
        for number, one in ipairs(list) do
            assert.equal(number, one.worker)
            assert.is_true(pids[one.pid])
        end
        s:stop()
    end)

    it("may have an answer longer than one message", function()
        local s = instance.start("workers 2\nfake ask-long 20000")
        for _, one in ipairs(answers(s, "status")) do assert.equal(("x"):rep(20000), one.answer) end
        s:stop()
    end)

    it("is answered without those that do not answer in time", function()
        local s = instance.start("workers 2\nfake ask-silent", { env = { FAKE_ASK_MS = "200" } })
        local list = answers(s, "status")
        assert.same({ cjson.null, cjson.null }, { list[1].answer, list[2].answer })
        s:stop()
    end)

    it("is answered without a worker that is stopped or dies meanwhile", function()
        local s = instance.start("workers 2", { env = { FAKE_ASK_MS = "5000" } })
        local victim = s:workers()[2]
        signal.kill(victim, signal.SIGSTOP)
        local client = wire.connect("unix:" .. instance.runtime() .. "/" .. s.name .. ".sock")
        client:send("ask status\n")
        instance.control(s.name, "status\n") -- the question has been put
        signal.kill(victim, signal.SIGKILL)
        local list = cjson.decode(client:read_to_end())
        assert.equal(2, #list)
        assert.is_true(list[1].answer == cjson.null or list[2].answer == cjson.null)
        assert.is_true(list[1].answer ~= list[2].answer)
        s:stop()
    end)

    it("is answered to many at the same time, and costs nothing when they leave", function()
        local s = instance.start("workers 2\nfake ask-silent", { env = { FAKE_ASK_MS = "300" } })
        local clients = {}
        for i = 1, 20 do
            clients[i] = wire.connect("unix:" .. instance.runtime() .. "/" .. s.name .. ".sock")
            clients[i]:send("ask status\n")
        end
        for i = 1, 20, 2 do clients[i]:close() end
        for i = 2, 20, 2 do assert.equal(2, #cjson.decode(clients[i]:read_to_end())) end
        assert.equal("serving", instance.status(s.name).state)
        s:stop()
    end)

    it("is refused when it is too long for a worker", function()
        local s = instance.start("fake ask-long 1")
        assert.matches("^%[", ask(s, ("q"):rep(4079)))
        assert.equal("error: the question is too long\n", ask(s, ("q"):rep(4080)))
        s:stop()
    end)

    it("says when the answers are too long", function()
        local s = instance.start("workers 2\nfake ask-long 600000")
        assert.equal("error: the answers of the workers are too long\n", ask(s, "status"))
        s:stop()
    end)
end)

describe("moongate generations", function()
    before_each(instance.begin)
    after_each(instance.sweep)

    it("asks the instance and gives the answer to Lua", function()
        local s = instance.start("workers 2")
        local code, out, err = instance.run { "generations", "--json" }
        assert.same({ 0, "" }, { code, err })
        local list = cjson.decode(out:match("^generations json (.*)$"))
        assert.same({ 1, 1 }, { list[1].answer[1].number, list[2].answer[1].number })
        assert.equal(0, (instance.run { "reload" }))
        code, out, err = instance.run { "generations" }
        assert.same({ 0, "" }, { code, err })
        assert.matches("^generations %[{.*\"number\":2.*%]\n$", out)
        s:stop()
    end)

    it("is explained when no instance runs", function()
        local code, _, err = instance.run { "generations" }
        assert.same({ 4, "moongate: no instance is running\n" }, { code, err })
    end)

    it("shows one paragraph per generation, newest first, over all workers, and what holds those that do not serve", function()
        local function answer(number, since, requests, tasks, holders)
            return { number = number, since = since, requests = requests, tasks = tasks, holders = holders }
        end
        local text = generations.text({
            { worker = 1, answer = { answer(6, 1000, 2, 0, { "GET /stream, 3m" }), answer(7, 1200, 1, 2, { "GET /" }) } },
            { worker = 2, answer = { answer(7, 1201, 0, 2, {}) } },
            { worker = 3, answer = cjson.null },
        }, 1261)
        assert.equal("generation 7  serves for 1m 1s in 2 workers: 1 request, 4 tasks\n"
            .. "generation 6  alive for 4m 21s in 1 worker: 2 requests, 0 tasks\n"
            .. "  held by worker 1: GET /stream, 3m\n"
            .. "worker 3 has not answered\n", text)
    end)

    it("gives the answer as it is when asked for JSON", function()
        local written = {}
        local stream = { write = function(_, text) written[#written + 1] = text end }
        assert.equal(0, generations.run({ json = true, answer = "[]\n" }, stream))
        assert.equal("[]\n", table.concat(written))
        assert.equal("generations", generations.question_text())
    end)

    it("shows no more than twenty holders of a generation", function()
        local holders = {}
        for i = 1, 20 do holders[i] = "request " .. i end
        local function shown(extra)
            return generations.text({ { worker = 1, answer = { { number = 2, since = 0, requests = 0, tasks = 0 },
                { number = 1, since = 0, requests = 21, tasks = 0, holders = holders } } },
                { worker = 2, answer = { { number = 1, since = 0, requests = 1, tasks = 0, holders = extra } } } }, 100000)
        end
        assert.matches("alive for 1d 3h in 2 workers", shown {})
        assert.is_nil(shown({}):find("more", 1, true))
        assert.matches("worker 1: request 20\n  and by 2 more\n$", shown { "a", "b" })
    end)
end)
