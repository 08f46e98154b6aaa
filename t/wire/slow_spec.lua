--- Clients that are slow: each time limit from both sides, with small values.
local gate_site = require "t.support.gate_site"
local http_text = require "t.support.http_text"
local process = require "t.support.process"
local server = require "t.support.server"

after_each(server.sweep)

local SLACK = server.sanitized and 1.5 or 0.25

--- Seconds until the function returns are at least `least` and not much more.
local function takes(least, run)
    local begin = process.now()
    run()
    local took = process.now() - begin
    assert.is_true(took >= least - 0.005, ("%.3f s, expected at least %.3f"):format(took, least))
    assert.is_true(took < least + SLACK, ("%.3f s, expected about %.3f"):format(took, least))
end

--- Sends byte by byte with a pause between, until done or closed; the pause is a wait for the peer's answer.
local function drip(c, text, seconds)
    for at = 1, #text do
        local ok = pcall(c.send, c, text:sub(at, at))
        if not ok then return false end
        if #require("socket").select({ c.socket }, nil, seconds) > 0 then return false end
    end
    return true
end

describe("limits.head_time", function()
    it("is absolute: a head that drips in ends with 408 however regularly it drips", function()
        local s = gate_site.start("limits = { head_time = '300ms', idle = '10s', linger = '50ms' }")
        local c = s:connect()
        takes(0.3, function()
            assert.is_false(drip(c, "GET / HTTP/1.1\r\nHost: a\r\n" .. ("X: y\r\n"):rep(50), 0.02))
            assert.equal(408, c:read().status)
        end)
        c:expect_close(true)
        s:stop()
    end)

    it("leaves a head alone that comes within it", function()
        local s = gate_site.start("limits = { head_time = '2s' }")
        local c = s:connect()
        for _ = 1, 2 do
            local text = http_text.request("GET", "/n/5")
            assert.is_true(drip(c, text:sub(1, -2), 0.005))
            c:send(text:sub(-1))
            assert.equal("5", c:read().body)
        end
        s:stop()
    end)

    it("begins with the first byte of each head, not with the connection", function()
        local s = gate_site.start("limits = { head_time = '150ms', idle = '5s', linger = '50ms' }")
        local c = s:connect()
        c:expect_silence(0.2)
        assert.equal("hello", c:get("/").body)
        c:expect_silence(0.2)
        c:send("G")
        takes(0.15, function() assert.equal(408, c:read().status) end)
        c:expect_close(true)
        s:stop()
    end)

    it("gives the 408 after the answers before it", function()
        local s = gate_site.start("limits = { head_time = '100ms', linger = '50ms' }")
        local c = s:connect()
        c:send(http_text.request("GET", "/sleep/200") .. "GET /n/2 HTTP/1.1\r\nHo")
        assert.equal("200", c:read().body)
        assert.equal(408, c:read().status)
        c:expect_close(true)
        s:stop()
    end)
end)

describe("limits.body_time", function()
    it("ends a request with 408 when nothing comes for so long, by length and chunked", function()
        local s = gate_site.start("limits = { body_time = '150ms', linger = '50ms' }")
        for _, begun in ipairs { "Content-Length: 10\r\n\r\nhello", "Content-Length: 10\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n" } do
            local c = s:connect()
            c:send("POST /echo HTTP/1.1\r\nHost: a\r\n" .. begun)
            takes(0.15, function()
                local response = c:read()
                assert.equal(408, response.status)
                assert.equal("close", response:get("connection"))
            end)
            c:expect_close(true)
        end
        s:stop()
    end)

    it("is counted between pieces: a body may take longer", function()
        local s = gate_site.start("limits = { body_time = '150ms', body_rate = '20', linger = '50ms' }")
        local c = s:connect()
        c:send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n")
        assert.is_true(drip(c, ("b"):rep(19), 0.02))
        c:send("b")
        assert.equal(20, #c:read().body)
        s:stop()
    end)

    it("and limits.body_rate together bound a body that drips: 408, by length and chunked", function()
        local s = gate_site.start("limits = { body_time = '150ms', body_rate = '20', linger = '50ms' }")
        for _, framing in ipairs { "Content-Length: 1000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n3e8\r\n" } do
            local c = s:connect()
            c:send("POST /echo HTTP/1.1\r\nHost: a\r\n" .. framing)
            takes(0.15, function()
                assert.is_false(drip(c, ("b"):rep(1000), 0.11)) -- nine a second; three pieces at most come within the limit
                assert.equal(408, c:read().status)
            end)
            c:expect_close(true)
        end
        s:stop()
    end)

    it("alone holds when limits.body_rate is 0", function()
        local s = gate_site.start("limits = { body_time = '150ms', body_rate = 0, linger = '50ms' }")
        local c = s:connect()
        c:send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
        assert.is_true(drip(c, ("b"):rep(9), 0.08))
        c:send("b")
        assert.equal(10, #c:read().body)
        s:stop()
    end)

    it("does not run while the handler does something else", function()
        local s = gate_site.start("limits = { body_time = '100ms' }")
        local c = s:connect()
        c:send("POST /late/250 HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")
        c:expect_silence(0.2)
        c:send("world")
        assert.equal("10", c:read().body)
        s:stop()
    end)

    it("ends a connection whose unread content does not come", function()
        local s = gate_site.start("limits = { body_time = '150ms', idle = '10s' }")
        local c = s:connect()
        c:send("POST /leave HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")
        assert.equal("left", c:read().body)
        takes(0.15, function() c:expect_close(true) end)
        s:stop()
    end)
end)

describe("limits.idle", function()
    it("closes a connection that asks nothing, silently, from its beginning and after each answer", function()
        local s = gate_site.start("limits = { idle = '200ms' }")
        local c = s:connect()
        takes(0.2, function() c:expect_close() end)
        c = s:connect()
        c:expect_silence(0.12)
        assert.equal("hello", c:get("/").body)
        c:expect_silence(0.12)
        assert.equal("4", c:post("/late/1", "body").body)
        takes(0.2, function() c:expect_close() end)
        s:stop()
    end)

    it("is what counts behind the empty line that old clients send after content: no 408 comes unasked", function()
        local s = gate_site.start("limits = { idle = '300ms', head_time = '100ms' }")
        for _, ending in ipairs { "\r\n", "\r" } do
            local c = s:connect()
            c:send(http_text.request("POST", "/echo", nil, "x") .. ending)
            assert.equal("x", c:read().body)
            takes(0.3, function() c:expect_close() end)
        end
        local c = s:connect()
        c:send(http_text.request("POST", "/echo", nil, "x") .. "\r")
        assert.equal("x", c:read().body)
        c:send("\n")
        c:send(http_text.request("GET", "/n/3"))
        assert.equal("3", c:read().body)
        s:stop()
    end)

    it("does not run while a request does", function()
        local s = gate_site.start("limits = { idle = '100ms' }")
        local c = s:connect()
        c:send(http_text.request("GET", "/sleep/250"))
        assert.equal("250", c:read().body)
        c:send(http_text.request("POST", "/late/250", nil, "x"))
        assert.equal("1", c:read().body)
        assert.equal("hello", c:get("/").body)
        s:stop()
    end)
end)

describe("limits.write_stall", function()
    local function connections(s)
        local code, text = server.run { "status", "--name", s.name, "--json" }
        assert.equal(0, code, text)
        return tonumber(text:match('"connections":%s*(%d+)'))
    end

    it("resets a client that takes nothing of its answer, and tells the handler", function()
        local s = gate_site.start("limits = { write_stall = '1s' }", [[ -- long enough for a status to be told meanwhile
            local ended
            app:get("/endless", function()
                return mg.stream(function(out) while out:write(("e"):rep(16384)) do end ended = true end)
            end)
            app:get("/ended", function() return tostring(ended) end)
        ]])
        for _, target in ipairs { "/endless", "/big/30000000" } do
            local c = s:connect()
            c:send(http_text.request("GET", target))
            local limit = process.now() + 5 + 5 * SLACK
            repeat until connections(s) == 1 or process.now() > limit -- it may not be accepted yet
            assert.is_true(process.now() < limit, target)
            repeat until connections(s) == 0 or process.now() > limit
            assert.is_true(process.now() < limit, target)
            assert.is_false(pcall(c.read, c), target)
            c:close()
        end
        assert.equal("true", s:get("/ended").body)
        assert.falsy(s:log():find(" error ", 1, true))
        s:stop()
    end)

    it("leaves a client alone that takes little, but takes", function()
        local s = gate_site.start("limits = { write_stall = '500ms' }")
        local c = s:connect()
        c:send(http_text.request("GET", "/flow/600"))
        c:read_head()
        local got, begin = 0, process.now()
        while process.now() - begin < 1.2 do -- longer than the limit, and never as fast as it could
            require("socket").select(nil, nil, 0.005)
            got = got + #c:read_chunk()
        end
        assert.is_true(got < 600 * 16384)
        local chunk
        repeat
            chunk = c:read_chunk()
            got = got + #chunk
        until chunk == ""
        assert.equal(600 * 16384, got)
        s:stop()
    end)
end)

describe("limits.linger", function()
    it("lets a client read its error answer though it still sends; then the connection ends in time", function()
        local s = gate_site.start("limits = { linger = '200ms' }")
        for _ = 1, 10 do
            local c = s:connect()
            c:send("GET / HTTP/7.7\r\nHost: a\r\n\r\n")
            c:send(("x"):rep(100000)) -- on its way while the answer is
            assert.equal(505, c:read().status)
            c:expect_close()
            c:close()
        end
        local c = s:connect()
        c:send("GET / HTTP/7.7\r\nHost: a\r\n\r\n")
        assert.equal(505, c:read().status)
        c:expect_close()
        local limit = process.now() + 3
        local ok = true
        while ok and process.now() < limit do -- the reset comes when it reads no more
            ok = pcall(c.send, c, "x")
            require("socket").select(nil, nil, 0.02)
        end
        assert.is_false(ok)
        s:stop()
    end)

    it("is bounded in bytes, too: a client that floods on is reset", function()
        local s = gate_site.start("limits = { linger = '60s' }")
        local c = s:connect()
        c:send("GET / HTTP/7.7\r\nHost: a\r\n\r\n")
        local sent, why = c:send_until_full(("x"):rep(64 * 1048576), 2)
        assert.equal("closed", why)
        assert.is_true(sent < 32 * 1048576, tostring(sent))
        c:close()
        s:stop()
    end)
end)
