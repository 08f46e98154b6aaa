--- Streams through the gateway: both ways at once in flat memory, a slow reader that holds up nobody else, a client that leaves.
--- MG_STREAM_BYTES says how much goes through (default 64 MiB; 5368709120 in a long run).
local origin = require "t.support.origin"
local process = require "t.support.process"
local server = require "t.support.server"

local BYTES = tonumber(os.getenv("MG_STREAM_BYTES") or 64 * 1048576)

local function private_kb(pid)
    return tonumber(process.read_file(("/proc/%d/status"):format(pid)):match("RssAnon:%s*(%d+)"))
end

describe("a stream", function()
    after_each(function()
        server.sweep()
        origin.sweep()
    end)

    local function gateway(address)
        return server.start { script = ([[
            local mg = require "moongate"
            local app = mg.app()
            app:proxy("/*", "http://%s", { body = "1t" })
            return app]]):format(address) }
    end

    it("goes up and down at once in flat memory", function()
        local echo = server.start { script = [[
            local mg = require "moongate"
            local app = mg.app()
            app:post("/echo", { body = "1t" }, function(req)
                return mg.stream(function(out)
                    for piece in req:chunks() do out:write(piece) end
                end)
            end)
            return app]] }
        local s = gateway("127.0.0.1:" .. echo.port)
        local worker = s:workers()[1]
        s:get("/nothing")
        local before, most, out = private_kb(worker), 0, s.folder .. "/size"
        process.write_file(out, "")
        local client = process.spawn { "sh", "-c", ("head -c %.0f /dev/zero | curl -sS --max-time 3000 -T - -X POST -H 'Expect:' http://127.0.0.1:%d/echo | wc -c"):format(
            BYTES, s.port), stdout = out, stderr = s.folder .. "/curl" }
        while not client:wait(0.1) do most = math.max(most, private_kb(worker)) end
        assert.equal(BYTES, tonumber(process.read_file(out)), process.read_file(s.folder .. "/curl"))
        assert.is_true(most - before < 16384 * (server.sanitized and 10 or 1), ("%d kB more than before"):format(most - before))
    end)

    it("of a slow reader holds up its own upstream and no other", function()
        local o = origin.start(function(self)
            self:serve(function(request, _, client)
                if request.target ~= "/big" then return "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsmall" end
                client.seconds = 60
                client:send("HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
                client:send(("x"):rep(50000000))
                self:note("all sent")
                return nil
            end)
        end)
        local s = gateway(o.address)
        local worker, slow = s:workers()[1], s:connect()
        slow:send("GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
        slow:read_head()
        local c = s:connect()
        for _ = 1, 50 do assert.equal("small", c:get("/small").body) end
        assert.is_true(private_kb(worker) < 65536 * (server.sanitized and 10 or 1))
        assert.equal(0, #o:noted())
        slow.seconds = 30
        assert.equal(50000000, #slow:read_bytes(50000000))
        assert.equal("all sent", o:note_of(1))
    end)

    it("is cancelled by a client that leaves, before a head and behind it", function()
        local o = origin.start(function(self)
            self:serve(function(request, _, client)
                client.seconds = 20
                if request.target == "/late" then client:send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\npart") end
                self:note("waits")
                client:expect_close(true)
                self:note("closed")
                return nil
            end)
        end)
        local s = gateway(o.address)
        for at, target in ipairs { "/early", "/late" } do
            local c = s:connect()
            c:send("GET " .. target .. " HTTP/1.1\r\nHost: a\r\n\r\n")
            assert.equal("waits", o:note_of(at * 2 - 1))
            c:reset()
            assert.equal("closed", o:note_of(at * 2))
        end
    end)
end)
