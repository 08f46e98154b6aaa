--- Everything bad at once, while somebody well-behaved asks: floods whose answers are never read, heads that never end, resets, garbage, slow
--- bodies. The honest client is served quickly all the time; afterwards the memory is back, no worker has ended and nothing was logged as an error.
--- MG_ABUSE_SECONDS says how long (default 8).
local gate_site = require "t.support.gate_site"
local http_text = require "t.support.http_text"
local process = require "t.support.process"
local server = require "t.support.server"
local wire = require "t.support.wire"
local socket = require "socket"

local SECONDS = tonumber(os.getenv("MG_ABUSE_SECONDS")) or 8
-- What an allocator and a runtime keep for the next time. Buffers of attackers that were not given back would be far more.
local MARGIN_KIB = server.sanitized and 400000 or 24000

local function connect(s)
    local c = socket.tcp4()
    c:settimeout(0.5)
    if not c:connect(s.host, s.port) then
        c:close()
        return nil
    end
    c:settimeout(0)
    return c
end

local function reset(c)
    c:setoption("linger", { on = true, timeout = 0 })
    c:close()
end

--- Keeps `count` connections, each given to `feed(connection, turn)` again and again; false from it: a new one takes its place. An attacker
--- is limited to some rounds a second: it is to hurt by what it does, not by taking the processor from the honest client.
local function keep(s, count, pause, feed)
    local pool, turn, finish = {}, 0, process.now() + SECONDS
    while process.now() < finish do
        turn = turn + 1
        for at = 1, count do
            pool[at] = pool[at] or connect(s)
            if pool[at] and feed(pool[at], turn + at, at) == false then
                reset(pool[at])
                pool[at] = nil
            end
            if process.now() > finish then break end
        end
        socket.select(nil, nil, pause)
    end
    for at = 1, count do if pool[at] then reset(pool[at]) end end
end

local function sent(c, bytes)
    local _, message = c:send(bytes)
    return message ~= "closed"
end

local ATTACKS = {
    flood = function(s) -- pipelined requests whose answers are never read
        local small, large = http_text.request("GET", "/n/1"):rep(100), http_text.request("GET", "/big/60000"):rep(20)
        keep(s, 20, 0.01, function(c, _, at) return sent(c, at % 2 == 0 and small or large) end)
    end,
    streams = function(s) -- streams that nobody reads
        local text = http_text.request("GET", "/flow/5000")
        keep(s, 20, 0.2, function(c, turn) return sent(c, text) and turn % 40 ~= 0 end)
    end,
    heads = function(s) -- a thousand heads that never end, one byte at a time
        keep(s, 1000, 0.5, function(c, turn) return sent(c, turn < 3 and "GET / HTTP/1.1\r\nX: " or "y") end)
    end,
    resets = function(s)
        local text = http_text.request("GET", "/sleep/20") .. http_text.request("POST", "/late/5", nil, ("x"):rep(3000)) .. http_text.request("GET", "/big/9000")
        keep(s, 10, 0.01, function(c)
            sent(c, text:sub(1, math.random(#text)))
            return false
        end)
    end,
    garbage = function(s)
        keep(s, 10, 0.01, function(c)
            local bytes = {}
            for at = 1, math.random(400) do bytes[at] = string.char(math.random(0, 255)) end
            sent(c, (math.random(2) == 1 and "GET / HTTP/1.1\r\nHost: a\r\n" or "") .. table.concat(bytes) .. "\r\n\r\n")
            return math.random(3) > 1
        end)
    end,
    bodies = function(s) -- bodies that drip, and chunks that are nearly all framing
        keep(s, 200, 0.2, function(c, turn, at)
            if turn - at == 1 then
                return sent(c, at % 2 == 0 and "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"
                    or "POST /leave HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            end
            return sent(c, at % 2 == 0 and "b" or "1;e=" .. ("e"):rep(100) .. "\r\nb\r\n")
        end)
    end,
}

local function worker_kib(s)
    return tonumber(process.read_file(("/proc/%d/status"):format(s:workers()[1])):match("VmRSS:%s*(%d+)"))
end

local function status(s)
    local code, text = server.run { "status", "--name", s.name, "--json" }
    assert.equal(0, code, text)
    return require("cjson").decode(text)
end

--- Asks until the time is over; the latencies in milliseconds, sorted.
local function ask_honestly(s, seconds)
    local latencies, c, finish = {}, s:connect(), process.now() + seconds
    while process.now() < finish do
        local begin = process.now()
        if #latencies % 20 == 0 then -- a new connection must get in, too
            c:close()
            c = s:connect()
        end
        local n = tostring(#latencies)
        assert.equal(n, c:get("/n/" .. n).body)
        assert.equal(1000, #c:post("/echo", ("e"):rep(1000)).body)
        latencies[#latencies + 1] = (process.now() - begin) * 1000
        socket.select(nil, nil, 0.005)
    end
    c:close()
    table.sort(latencies)
    return latencies
end

describe("a worker under abuse", function()
    after_each(server.sweep)

    it("serves an honest client quickly, and is as before afterwards", function()
        local s = gate_site.start([[limits = { head_time = "2s", body_time = "2s", write_stall = "2s", idle = "3s", linger = "300ms", buffers = "64m" }]])
        local before, workers = nil, s:workers()
        ask_honestly(s, 0.5)
        before = worker_kib(s)

        local attackers = {}
        for name, attack in pairs(ATTACKS) do
            attackers[#attackers + 1] = process.fork({ 2 }, function()
                math.randomseed(#name * 7919)
                attack(s)
            end)
        end
        local latencies = ask_honestly(s, SECONDS)
        for _, attacker in ipairs(attackers) do
            local how, code = attacker:wait(30)
            if not how then attacker:kill() end
            assert.equal("exited 0", ("%s %s"):format(how, code), "an attacker failed itself")
        end

        local p50, p99 = latencies[math.ceil(#latencies * 0.5)], latencies[math.ceil(#latencies * 0.99)]
        local limit = process.now() + 20
        repeat
            local connections = status(s).total.connections
        until connections == 0 or process.now() > limit
        ask_honestly(s, 0.5)
        local after = worker_kib(s)
        if os.getenv("MG_ABUSE_SECONDS") then
            print(("%d honest requests, p50 %.2f ms, p99 %.2f ms, worst %.2f ms; %d KiB before, %d after; %s"):format(#latencies * 2, p50, p99, latencies[#latencies],
                before, after, require("cjson").encode(status(s))))
        end
        assert.is_true(process.now() < limit, "connections are left over")
        assert.is_true(p99 < (server.sanitized and 1000 or 200), ("p99 %.1f ms"):format(p99))
        assert.is_true(after - before < MARGIN_KIB, ("%d KiB before, %d after"):format(before, after))
        assert.same(workers, s:workers())
        assert.falsy(s:log():find(" error ", 1, true), s:log():sub(1, 2000))
        s:stop()
    end)
end)
