--- What `moongate top`, `jit` and `status` print: lua/moongate/cli_top.lua, cli_jit.lua, cli_status.lua.
local jit_text = require "moongate.cli_jit"
local status = require "moongate.cli_status"
local top = require "moongate.cli_top"

local function total(requests)
    return { requests = requests, connections = 7, bytes_in = requests * 1048576, bytes_out = 0,
        answered = { ["1xx"] = 0, ["2xx"] = requests, ["3xx"] = 0, ["4xx"] = 0, ["5xx"] = 0 } }
end

local function said(requests, workers)
    local list = {}
    for number = 1, workers or 2 do list[number] = { number = number, pid = 100 + number, state = "serving", connections = 3, requests = requests / 2 } end
    return { name = "site", state = "serving", generation = 4, uptime_ms = 61000, total = total(requests), workers = list }
end

local function answers(cpu_ms, pid, running)
    local list = {}
    for number = 1, 2 do
        list[number] = { worker = number, pid = (pid or 100) + number, answer = { cpu_ms = cpu_ms, lua_bytes = 1048576, resident_bytes = 2097152, tasks = 5,
            waits = 4, running_count = 1, running = running or {}, jit = { on = true, traces = 10, aborts = 2, code_bytes = 2048 } } }
    end
    return list
end

describe("top", function()
    it("shows rates between two samples", function()
        local model = top.model { status = said(3000), before = said(1000), ms = 2000, workers = answers(1500), workers_before = answers(500) }
        assert.equal(1000, model.requests)
        assert.equal(1000, model.classes["2xx"])
        assert.equal(0, model.classes["5xx"])
        assert.equal(500, model.workers[1].requests)
        assert.equal(50, model.workers[1].cpu)
        local lines = top.lines(model, 80, 24)
        assert.equal("site: serving, generation 4, up 1m 1s", lines[1])
        assert.equal("requests/s  1000  (1xx 0  2xx 1000  3xx 0  4xx 0  5xx 0)", lines[2])
        assert.matches("^1 +101 serving +50%% +3 +500 +1%.0 +2%.0 +5 +1$", lines[6])
    end)

    it("has no rates at first, none of CPU for a worker that was replaced, and none below zero", function()
        local model = top.model { status = said(10), workers = answers(5) }
        assert.is_nil(model.requests)
        assert.matches("^requests/s  %-  ", top.lines(model, 80, 24)[2])
        model = top.model { status = said(10), before = said(20), ms = 1000, workers = answers(5), workers_before = answers(1, 200) }
        assert.equal(0, model.requests)
        assert.is_nil(model.workers[1].cpu)
    end)

    it("does without workers that have not answered", function()
        local model = top.model { status = said(10), workers = { { worker = 1, pid = 101 }, { worker = 2, pid = 102, answer = { error = "no" } } } }
        assert.matches("^1 +101 serving +%- ", top.lines(model, 80, 24)[6])
    end)

    it("shows what runs for longest first, and lets nobody move the cursor", function()
        local running = { { method = "GET", path = "/a\27[2J\r\n\200", ms = 5, route = "GET /a" }, { method = "GET", path = "/old", ms = 125000 } }
        local text = table.concat(top.lines(top.model { status = said(1), workers = answers(1, 100, running) }, 80, 24), "\n")
        assert.is_nil(text:find("[%z\1-\9\11-\31\127-\255]"))
        assert.is_true(text:find("2m 5s 1 +GET /old") < text:find("5ms 1 +GET /a%?%[2J%?%?%?  %(GET /a%)"))
    end)

    it("fits any screen", function()
        local running = {}
        for at = 1, 40 do running[at] = { method = "GET", path = "/" .. ("x"):rep(100), ms = at, route = "GET /:x" } end
        local model = top.model { status = said(1, 64), before = said(0, 64), ms = 1000, workers = answers(1, 100, running) }
        for _, size in ipairs { { 80, 24 }, { 80, 10 }, { 40, 24 }, { 200, 100 }, { 1, 1 } } do
            local lines = top.lines(model, size[1], size[2])
            assert.is_true(#lines <= size[2])
            for _, line in ipairs(lines) do assert.is_true(#line <= size[1]) end
        end
        assert.is_truthy(table.concat(top.lines(model, 80, 24), "\n"):find("more workers", 1, true))
    end)
end)

describe("jit", function()
    local function row(route, state, extra)
        local made = { route = route, where = "a.lua:1", state = state, traces = 0, aborts = 0 }
        for key, value in pairs(extra or {}) do made[key] = value end
        return made
    end
    local function said_by(worker, routes, places)
        return { worker = worker, answer = { on = true, traces = 4, aborts = 3, flushes = 1, code_bytes = 1024, code_most = 33554432, routes = routes, places = places or {} } }
    end

    it("shows what cannot be compiled first, with line and reason, over all workers", function()
        local text = jit_text.text {
            said_by(1, { row("GET /good", "compiled", { traces = 2 }), row("GET /bad", "not hot") }, { { where = "a.lua:9", why = "no way", count = 2 },
                { where = "moongate/x.lua:1", why = "own", count = 9, is_own = true } }),
            said_by(2, { row("GET /good", "not hot"), row("GET /bad", "apart", { at = "a.lua:9", why = "no way" }) }, { { where = "a.lua:9", why = "no way", count = 3 } }),
            { worker = 3 },
        }
        assert.equal("2 workers: 8 traces compiled, 6 given up, 2 flushes, 2 KiB of 65536 KiB code memory\n\n"
            .. "apart        GET /bad (a.lua:1)  runs behind a coroutine: no way at a.lua:9\n"
            .. "compiled     GET /good (a.lua:1)  runs compiled, 2 traces\n\n"
            .. "given up most often:\n     5  a.lua:9  no way\nworker 3 has not answered\n", text)
    end)
end)

describe("status", function()
    it("has a line for each worker's Lua", function()
        local list = answers(1)
        list[2].answer = nil
        local lines = {}
        for line in status.text(list):gmatch("[^\n]+") do lines[#lines + 1] = line end
        assert.matches("^worker +lua MiB +rss MiB +tasks +waits +running +traces +aborts +code KiB$", lines[1])
        assert.matches("^1 +1%.0 +2%.0 +5 +4 +1 +10 +2 +2%.0$", lines[2])
        assert.equal("2       has not answered", lines[3])
    end)
end)
