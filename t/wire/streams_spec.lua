--- Streamed answers and server-sent events, with clients that are slow, leave, or never came to read.
local served = require("t.support.served").by
local process = require "t.support.process"

--- A line of /proc/PID/status in KiB.
local function memory_kib(pid, name)
    return tonumber(process.read_file(("/proc/%d/status"):format(pid)):match(name .. ":%s*(%d+)"))
end

describe("a stream", function()
    local ask, s = served [[
        local seen = {}
        app:get("/seen", function(req) local text = table.concat(seen, " "); seen = {}; return text end)
        app:get("/five", function(req) return mg.stream(function(out) for n = 1, 5 do out:write(n .. "\n") mg.sleep(0.001) end end) end)
        app:get("/options", function(req)
            return mg.stream(function(out) out:write("12345") end, { status = 203, type = "text/x", length = 5, headers = { ["x-a"] = "1" } })
        end)
        app:get("/nothing", function(req) return mg.stream(function(out) end) end)
        app:get("/number", function(req) return mg.stream(function(out) out:write(7) out:write("") out:write("x") end) end)
        app:get("/flush", function(req) return mg.stream(function(out) out:write("now") out:flush() mg.sleep(tonumber(req.query.s) or 0.2) out:write("later") end) end)
        app:get("/long", function(req) return mg.stream(function(out) out:write("12345") out:write("6") end, { length = 5 }) end)
        app:get("/204", function(req) return mg.stream(function(out) out:write("x") end, { status = 204 }) end)
        app:get("/bytes/:n", function(req)
            return mg.stream(function(out)
                local piece, left = ("x"):rep(65536), tonumber(req.params.n)
                while left > 0 do
                    local ok, message = out:write(left >= #piece and piece or piece:sub(1, left))
                    if not ok then seen[#seen + 1] = "left:" .. tostring(message) .. (out:is_gone() and ":gone" or "") return end
                    left = left - #piece
                end
                seen[#seen + 1] = "whole"
            end)
        end)
        app:get("/watch", function(req)
            return mg.stream(function(out)
                out:write("begin")
                while not out:is_gone() do mg.sleep(0.002) end
                seen[#seen + 1] = tostring(req:is_gone())
            end)
        end)
        local kept
        app:get("/keep", function(req) return mg.stream(function(out) kept = out out:write("mine") end) end)
        app:get("/misuse", function(req)
            return mg.stream(function(out)
                local ok, message = kept:write("into the answer of another")
                out:write(tostring(ok) .. " " .. tostring(message) .. " " .. tostring(kept:is_gone()) .. " " .. tostring(kept:flush()))
            end)
        end)
        app:get("/inside", function(req)
            return mg.stream(function(out)
                local a, b = mg.all(function() mg.sleep(0.002) return "a" end, function() return "b" end)
                out:write(a .. b)
            end)
        end)
        app:get("/text", function(req) return "text" end)
        app:get("/heap", function(req) collectgarbage() return tostring(collectgarbage("count")) end)
    ]]

    --- What the streams of earlier requests saw, once there is something.
    local function seen()
        local limit = process.now() + 10
        while true do
            local text = ask("GET", "/seen").body
            if text ~= "" then return text end
            assert(process.now() < limit, "the stream learned nothing in time")
        end
    end

    it("goes out in chunks as it is written", function()
        local response = ask("GET", "/five")
        assert.equal("1\n2\n3\n4\n5\n", response.body)
        assert.equal("chunked", response.framing)
        assert.is_true(response.chunks > 1)
        assert.equal("application/octet-stream", response:get("content-type"))
        assert.equal("7x", ask("GET", "/number").body)
        assert.equal("", ask("GET", "/nothing").body)
    end)

    it("has a status, fields, a type and a length when they are said", function()
        local response = ask("GET", "/options")
        assert.equal(203, response.status)
        assert.equal("length", response.framing)
        assert.equal("12345", response.body)
        assert.equal("text/x", response:get("content-type"))
        assert.equal("1", response:get("x-a"))
        assert.equal("", ask("GET", "/204").body)
    end)

    it("has no content for HEAD", function()
        local c = s.server:connect()
        assert.equal("", c:head("/five").body)
        assert.equal("5", c:head("/options"):get("content-length"))
        assert.equal("text", c:get("/text").body)
    end)

    it("to HTTP/1.0 ends with the connection", function()
        local c = s.server:connect()
        c:send("GET /five HTTP/1.0\r\n\r\n")
        local response = c:read()
        assert.equal("close", response.framing)
        assert.equal("1\n2\n3\n4\n5\n", response.body)
    end)

    it("sends what was flushed while it goes on", function()
        local c = s.server:connect()
        c:send("GET /flush HTTP/1.1\r\nHost: a\r\n\r\n")
        c:read_head()
        assert.equal("now", c:read_chunk())
        c:close()
        assert.equal("nowlater", ask("GET", "/flush?s=0.001").body)
    end)

    it("longer than it said is cut, and the script is told", function()
        local c = s.server:connect()
        c:send("GET /long HTTP/1.1\r\nHost: a\r\n\r\n")
        c:read_head()
        assert.equal("12345", c:read_bytes(5))
        c:expect_close()
        s.server:wait_log("app%.lua:%d+: out:write: more than the announced length")
    end)

    it("keeps its place among pipelined answers", function()
        local c = s.server:connect()
        local answers = c:pipeline { "/five", "/text", "/bytes/200000", "/five", "/text" }
        assert.equal("1\n2\n3\n4\n5\n", answers[1].body)
        assert.equal("text", answers[2].body)
        assert.equal(200000, #answers[3].body)
        assert.equal("1\n2\n3\n4\n5\n", answers[4].body)
        assert.equal("text", answers[5].body)
        assert.equal("whole", seen())
    end)

    it("waits for a slow client, with little memory", function()
        local pid = s.server:workers()[1]
        local before = memory_kib(pid, "VmRSS")
        local clients = {}
        for at = 1, 8 do
            clients[at] = s.server:connect()
            clients[at]:send("GET /bytes/104857600 HTTP/1.1\r\nHost: a\r\n\r\n")
            clients[at]:read_head()
        end
        for _ = 1, 20 do ask("GET", "/text") end
        assert.equal("", ask("GET", "/seen").body)
        assert.is_true(memory_kib(pid, "VmHWM") - before < 20000, "eight streams of 100 MiB that nobody reads took more than 20 MB")
        for at = 1, 8 do clients[at]:close() end
        local left = 0
        while left < 8 do left = left + select(2, seen():gsub("left:the client has gone", "")) end
    end)

    it("of 1 GiB passes, with the worker's memory flat", function()
        local pid = s.server:workers()[1]
        local before = memory_kib(pid, "VmHWM")
        local c, total = s.server:connect { seconds = 60 }, 1073741824
        c:send(("GET /bytes/%d HTTP/1.0\r\n\r\n"):format(total))
        c:read_head()
        local got = #c.pending
        c.pending = ""
        c.socket:settimeout(10)
        while got < total do
            local bytes, message, part = c.socket:receive(1048576)
            got = got + #(bytes or part)
            if message then break end
        end
        assert.equal(total, got)
        assert.is_true(memory_kib(pid, "VmHWM") - before < 16384, "more than 16 MiB of growth")
    end)

    it("learns that its client has gone, by writing or by asking", function()
        while ask("GET", "/seen").body ~= "" do end
        local c = s.server:connect()
        c:send("GET /bytes/1000000000 HTTP/1.1\r\nHost: a\r\n\r\n")
        c:read_head()
        c:reset()
        assert.equal("left:the client has gone:gone", seen())
        local d = s.server:connect()
        d:send("GET /watch HTTP/1.1\r\nHost: a\r\n\r\n")
        d:read_head()
        d:reset()
        assert.equal("true", seen())
    end)

    it("that is over cannot be written to, although another answer has its place", function()
        assert.equal("mine", ask("GET", "/keep").body)
        assert.equal("nil this answer is over true nil", ask("GET", "/misuse").body)
    end)

    it("may wait for tasks", function() assert.equal("ab", ask("GET", "/inside").body) end)
end)

describe("server-sent events", function()
    local ask, s = served [[
        app:get("/events", function(req)
            return mg.sse(function(events)
                events:send("plain")
                events:send { event = "tick", id = 7, retry = 1000, data = "two\nlines" }
                events:send { data = { a = 1 } }
                events:comment("still here")
                events:send { event = "empty" }
                events:send("carriage\r\nreturn\rlines")
            end)
        end)
        app:get("/forever", function(req)
            return mg.sse(function(events) while events:send("tick") do mg.sleep(0.001) end mg.log("events have ended") end)
        end)
        app:get("/own", function(req) return mg.sse(function(events) events:send("x") end, { headers = { ["x-a"] = "1" }, status = 202 }) end)
    ]]

    it("are lines that browsers understand", function()
        local response = ask("GET", "/events")
        assert.equal("text/event-stream", response:get("content-type"))
        assert.equal("no-store", response:get("cache-control"))
        assert.equal("data: plain\n\n" .. "event: tick\nid: 7\nretry: 1000\ndata: two\ndata: lines\n\n" .. 'data: {"a":1}\n\n'
            .. ": still here\n" .. "event: empty\n\n" .. "data: carriage\ndata: return\ndata: lines\n\n", response.body)
    end)

    it("may have a status and fields", function()
        local response = ask("GET", "/own")
        assert.equal(202, response.status)
        assert.equal("1", response:get("x-a"))
        assert.equal("no-store", response:get("cache-control"))
    end)

    it("end when the client leaves", function()
        local c = s.server:connect()
        c:send("GET /forever HTTP/1.1\r\nHost: a\r\n\r\n")
        c:read_head()
        assert.equal("data: tick\n\n", c:read_chunk())
        c:close()
        s.server:wait_log("events have ended")
    end)
end)
