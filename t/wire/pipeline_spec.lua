--- Pipelines: requests of one connection run at once and are answered in order, whatever their handlers do.
local gate_site = require "t.support.gate_site"
local http_text = require "t.support.http_text"
local process = require "t.support.process"
local server = require "t.support.server"

local s
setup(function() s = gate_site.start("", [[
    app:get("/slow-stream/:n", function(req)
        local n = tonumber(req.params.n)
        return mg.stream(function(out) for i = 1, n do out:write(("%d,"):format(i)) mg.sleep("5ms") end end)
    end)
    app:get("/cut", function() return mg.stream(function(out) out:write("begun") error("cut") end) end)
    app:get("/raise-late", function() mg.sleep("20ms") error("late") end)
]]) end)
teardown(function()
    s:stop()
    server.sweep()
end)

local function get(target) return http_text.request("GET", target) end

local function sleeps(list)
    local texts = {}
    for at, ms in ipairs(list) do texts[at] = get("/sleep/" .. ms) end
    return table.concat(texts)
end

describe("a pipeline", function()
    it("runs its requests at once: 16 that sleep 200 ms take less than 250", function()
        local c, list = s:connect(), {}
        for at = 1, 16 do list[at] = 200 end
        local begin = process.now()
        c:send(sleeps(list))
        for _ = 1, 16 do assert.equal("200", c:read().body) end
        local took = process.now() - begin
        assert.is_true(took >= 0.199, tostring(took))
        assert.is_true(took < (server.sanitized and 0.6 or 0.25), tostring(took))
    end)

    it("is answered in order in which it came, in whatever order the handlers end", function()
        local orders = { { 1, 5, 10 }, { 10, 5, 1 }, { 5, 1, 10 }, { 10, 1, 5 }, { 1, 10, 5 }, { 5, 10, 1 }, { 10, 10, 1, 1 }, { 1, 1, 10, 10 }, { 3, 2, 1, 0 },
            { 0, 1, 2, 3 }, { 10, 0, 10, 0 }, { 0, 10, 0, 10 } }
        local clients = {}
        for at, order in ipairs(orders) do
            clients[at] = s:connect()
            local list = {}
            for i, tens in ipairs(order) do list[i] = tens * 10 end
            clients[at]:send(sleeps(list))
        end
        for at, order in ipairs(orders) do
            for _, tens in ipairs(order) do assert.equal(tostring(tens * 10), clients[at]:read().body, table.concat(order, "+")) end
            assert.equal("hello", clients[at]:get("/").body)
        end
    end)

    it("may mix handlers that wait with those that do not, and missing routes", function()
        local c = s:connect()
        local responses = c:pipeline { "/n/1", "/sleep/30", "/n/2", "/nowhere", { "POST", "/n/1" }, "/sleep/1", { "HEAD", "/n/3" }, "/status/204", "/n/4" }
        local statuses = {}
        for at, response in ipairs(responses) do statuses[at] = response.status end
        assert.same({ 200, 200, 200, 404, 405, 200, 200, 204, 200 }, statuses)
        assert.equal("4", responses[9].body)
    end)

    it("of 200 requests is answered whole though 64 run at once", function()
        local c, texts = s:connect(), {}
        for n = 1, 200 do texts[n] = get(n % 3 == 0 and "/sleep/" .. n % 7 or "/n/" .. n) end
        c:send(table.concat(texts))
        for n = 1, 200 do assert.equal(tostring(n % 3 == 0 and n % 7 or n), c:read().body) end
    end)

    it("runs no more than 64 at once: the others wait for their turn", function()
        local c = s:connect()
        local list = {}
        for at = 1, 128 do list[at] = 50 end
        local begin = process.now()
        c:send(sleeps(list))
        for _ = 1, 128 do c:read() end
        assert.is_true(process.now() - begin >= 0.099)
    end)

    it("of 5,000 requests that are answered at once comes back in order", function()
        local c, texts = s:connect(), {}
        for n = 1, 5000 do texts[n] = get("/n/" .. n) end
        local text = table.concat(texts)
        local sent, answered = 1, 0
        while answered < 5000 do -- reading while sending, as a client must that sends so much
            if sent <= #text then
                c:send(text:sub(sent, sent + 20000))
                sent = sent + 20001
            end
            local upto = math.min(5000, math.floor(5000 * math.min(1, sent / #text)) - 2)
            if sent > #text then upto = 5000 end
            while answered < upto do
                answered = answered + 1
                assert.equal(tostring(answered), c:read().body)
            end
        end
    end)

    it("ends with an error answer, after the answers before it", function()
        local c = s:connect()
        c:send(get("/sleep/30") .. get("/n/2") .. "GET / HTTP/9.9\r\nHost: a\r\n\r\n" .. get("/n/smuggled"))
        assert.equal("30", c:read().body)
        assert.equal("2", c:read().body)
        assert.equal(505, c:read().status)
        c:expect_close()
        assert.falsy(gate_site.seen(s):find("smuggled", 1, true))
    end)

    it("ends behind a request with Connection: close, after its answer", function()
        local c = s:connect()
        c:send(get("/sleep/20") .. http_text.request("GET", "/sleep/10", { connection = "close" }) .. get("/n/smuggled"))
        assert.equal("20", c:read().body)
        local last = c:read()
        assert.equal("10", last.body)
        assert.equal("close", last:get("connection"))
        c:expect_close(true)
        assert.falsy(gate_site.seen(s):find("smuggled", 1, true))
    end)

    it("may hold streams: each whole before the next answer", function()
        local c = s:connect()
        c:send(get("/slow-stream/10") .. get("/n/2") .. get("/stream/5") .. get("/stream/0") .. get("/n/5"))
        assert.equal("1,2,3,4,5,6,7,8,9,10,", c:read().body)
        assert.equal("2", c:read().body)
        assert.equal("piece 1;piece 2;piece 3;piece 4;piece 5;", c:read().body)
        assert.equal("", c:read().body)
        assert.equal("5", c:read().body)
    end)

    it("a large stream behind a slow answer waits without filling the memory", function()
        local c = s:connect()
        c:send(get("/sleep/100") .. get("/flow/640") .. get("/n/3"))
        assert.equal("100", c:read().body)
        assert.equal(640 * 16384, #c:read().body)
        assert.equal("3", c:read().body)
    end)

    it("ends with a stream that is cut short", function()
        local c = s:connect()
        c:send(get("/n/1") .. get("/cut") .. get("/n/3"))
        assert.equal("1", c:read().body)
        local head = c:read_head()
        assert.equal(200, head.status)
        assert.equal("begun", (c:read_chunk()))
        c:expect_close(true)
    end)

    it("goes on after an error of a handler", function()
        local c = s:connect()
        local responses = c:pipeline { "/n/1", "/raise-late", "/n/3" }
        assert.same({ 200, 500, 200 }, { responses[1].status, responses[2].status, responses[3].status })
    end)

    it("may hold requests with content, read late or never", function()
        local c = s:connect()
        c:send(http_text.request("POST", "/late/30", nil, ("x"):rep(9000)) .. http_text.request("POST", "/leave", nil, ("y"):rep(9000)) .. get("/n/3")
            .. http_text.request("POST", "/echo", nil, "z") .. get("/n/5"))
        assert.equal("9000", c:read().body)
        assert.equal("left", c:read().body)
        assert.equal("3", c:read().body)
        assert.equal("z", c:read().body)
        assert.equal("5", c:read().body)
    end)

    it("keeps its requests apart while they wait: fields, targets and parameters", function()
        local apart = gate_site.start("", [[
            app:get("/who/:name", function(req)
                mg.sleep(req.params.name:len() % 5 .. "ms")
                return req.params.name .. " " .. req.headers["x-name"] .. " " .. req.query.name .. " " .. req.path
            end)
        ]])
        local clients = {}
        for n = 1, 8 do
            local c, texts = apart:connect(), {}
            for i = 1, 30 do
                local name = ("n%d-%s"):format(n * 100 + i, ("x"):rep(i))
                texts[i] = http_text.request("GET", ("/who/%s?name=%s"):format(name, name), { ["x-name"] = name })
            end
            c:send_pieces(table.concat(texts), 1000 + n)
            clients[n] = c
        end
        for n = 1, 8 do
            for i = 1, 30 do
                local name = ("n%d-%s"):format(n * 100 + i, ("x"):rep(i))
                assert.equal(("%s %s %s /who/%s"):format(name, name, name, name), clients[n]:read().body)
            end
        end
        apart:stop()
    end)

    it("is answered though the client ends its side behind the last request", function()
        local c = s:connect()
        c:send(get("/sleep/30") .. get("/n/2") .. get("/slow-stream/4"))
        c:shutdown()
        assert.equal("30", c:read().body)
        assert.equal("2", c:read().body)
        assert.equal("1,2,3,4,", c:read().body)
        c:expect_close()
    end)

    it("is answered up to a head that the client leaves in the middle", function()
        for _, begun in ipairs { "G", "GET /n/3 HTTP/1.1\r\nHost:", "\r\n", "\r" } do
            for _, target in ipairs { "/n/1", "/sleep/20" } do
                local c = s:connect()
                c:send(get(target) .. begun)
                c:shutdown()
                assert.equal(200, c:read().status, ("%q after %s"):format(begun, target))
                c:expect_close()
            end
        end
    end)
end)

describe("24 pipelined requests", function()
    it("are answered by one send", function()
        local code = process.run({ "strace", "-V" }, 5)
        if code ~= 0 then return pending("strace is not installed") end
        local traced = gate_site.start()
        local c = traced:connect()
        c:get("/")
        local report = traced.folder .. "/trace"
        -- A ring's sends are no system calls of their own: those that enter it are counted, between the first byte and the last.
        local strace = process.spawn { "strace", "-f", "-p", tostring(traced:workers()[1]), "-e", "trace=io_uring_enter", "-o", report,
            stderr = traced.folder .. "/strace" }
        local limit = process.now() + 5
        repeat
            strace:wait(0.01)
            local said = process.read_file(traced.folder .. "/strace")
        until said:find("attached") or strace.how or process.now() > limit
        if strace.how then
            traced:stop()
            return pending("strace cannot attach here")
        end
        local texts = {}
        for n = 1, 24 do texts[n] = get("/n/" .. n) end
        c:send(table.concat(texts))
        local segments, got = 0, 0
        while got < 24 do
            require("socket").select({ c.socket }, nil, 5)
            local data, _, partial = c.socket:receive(65536)
            segments = segments + 1
            for _ in (data or partial):gmatch("HTTP/1.1 200") do got = got + 1 end
        end
        strace:signal(require("posix.signal").SIGINT)
        strace:wait(5)
        local enters = select(2, process.read_file(report):gsub("io_uring_enter%(", ""))
        assert.equal(1, segments)
        assert.is_true(enters <= 6, enters .. " enters")
        traced:stop()
    end)
end)
