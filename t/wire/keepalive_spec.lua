--- Which connections go on after an answer and which end, and what clients that leave do.
local gate_site = require "t.support.gate_site"
local http_text = require "t.support.http_text"
local process = require "t.support.process"
local server = require "t.support.server"

local s
setup(function() s = gate_site.start("limits = { idle = '5s' }") end)
teardown(function()
    s:stop()
    server.sweep()
end)

local COMBINATIONS = { -- version, Connection, does it go on?, what the answer says
    { "1.1", nil, true, nil }, { "1.1", "keep-alive", true, nil }, { "1.1", "close", false, "close" }, { "1.1", "close, keep-alive", false, "close" },
    { "1.0", nil, false, "close" }, { "1.0", "keep-alive", true, "keep-alive" }, { "1.0", "close", false, "close" }, { "1.0", "keep-alive, close", false, "close" },
}

local function text_of(version, connection, method, target)
    return ("%s %s HTTP/%s\r\nHost: a\r\n%s\r\n"):format(method or "GET", target or "/", version, connection and "Connection: " .. connection .. "\r\n" or "")
end

describe("a connection", function()
    it("goes on or ends as version and Connection say", function()
        for _, row in ipairs(COMBINATIONS) do
            for _, ask in ipairs { { "GET", "/" }, { "HEAD", "/" }, { "GET", "/nowhere" }, { "GET", "/empty/204" }, { "GET", "/sleep/5" }, { "POST", "/" } } do
                local name = ("HTTP/%s, Connection: %s, %s %s"):format(row[1], tostring(row[2]), ask[1], ask[2])
                local c = s:connect()
                c:send(text_of(row[1], row[2], ask[1], ask[2]))
                local response = c:read(ask[1])
                assert.equal("1.1", response.version, name)
                local said = response:get("connection")
                assert.equal(row[4], said and said:lower(), name)
                if row[3] then
                    assert.equal("hello", c:get("/").body, name)
                else
                    c:expect_close()
                end
                c:close()
            end
        end
    end)

    it("carries streams in chunks for HTTP/1.1, and up to its end for HTTP/1.0", function()
        for _, row in ipairs(COMBINATIONS) do
            local c = s:connect()
            c:send(text_of(row[1], row[2], "GET", "/stream/3"))
            local response = c:read()
            assert.equal("piece 1;piece 2;piece 3;", response.body)
            assert.equal(row[1] == "1.1" and "chunked" or "close", response.framing)
            if row[1] == "1.1" and row[3] then
                assert.equal("hello", c:get("/").body)
            else
                assert.equal("close", response:get("connection"))
                if row[1] == "1.1" then c:expect_close() end
            end
            c:close()
        end
    end)

    it("serves 10,000 requests", function()
        local c = s:connect()
        local text = http_text.request("GET", "/n/7")
        for _ = 1, 200 do
            c:send(text:rep(50))
            for _ = 1, 50 do assert.equal("7", c:read().body) end
        end
    end)

    it("forgives an empty line between requests, as old clients send it after content", function()
        local c = s:connect()
        for _ = 1, 3 do
            c:send(http_text.request("POST", "/echo", nil, "x") .. "\r\n")
            assert.equal("x", c:read().body)
        end
        c:send("\r\n" .. http_text.request("GET", "/n/1")) -- two empty lines are one too many
        assert.equal(400, c:read().status)
        c:expect_close(true)
    end)

    it("behind an answer with an error of the handler's goes on", function()
        local c = s:connect()
        for _, target in ipairs { "/status/400", "/status/404", "/status/413", "/status/500", "/status/503", "/empty/304" } do
            local response = c:get(target)
            assert.is_nil(response:get("connection"), target)
        end
        assert.equal("hello", c:get("/").body)
    end)
end)

describe("every answer", function()
    it("has a valid Date of now, and says who serves", function()
        local months = { Jan = 1, Feb = 2, Mar = 3, Apr = 4, May = 5, Jun = 6, Jul = 7, Aug = 8, Sep = 9, Oct = 10, Nov = 11, Dec = 12 }
        for _, bytes in ipairs { text_of("1.1"), text_of("1.0"), text_of("1.1", nil, "GET", "/nowhere"), text_of("1.1", nil, "GET", "/empty/204"),
            text_of("1.1", nil, "GET", "/stream/1"), "x\r\n\r\n" } do
            local c = s:connect()
            c:send(bytes)
            local response = c:read()
            local weekday, day, month, year, hour, minute, second = response:get("date"):match("^(%a%a%a), (%d%d) (%a%a%a) (%d%d%d%d) (%d%d):(%d%d):(%d%d) GMT$")
            assert.truthy(weekday, response:get("date"))
            local now = os.date("!*t")
            now.isdst = false
            local told = os.time { year = tonumber(year), month = months[month], day = tonumber(day), hour = tonumber(hour), min = tonumber(minute),
                sec = tonumber(second), isdst = false }
            assert.is_true(math.abs(os.time(now) - told) <= 2, response:get("date"))
            assert.equal(os.date("!%a", os.time()), weekday)
            assert.equal(1, #response:all("date"))
            assert.equal("moongate", response:get("server"))
            c:close()
        end
    end)

    it("says what `server` says, or nothing when it is false; a handler's own fields win", function()
        local named = gate_site.start("server = 'Garden/1'", [[
            app:get("/own", function() return 200, "x", { server = "mine", date = "Thu, 01 Jan 1970 00:00:00 GMT" } end)
        ]])
        assert.same({ "Garden/1" }, named:get("/"):all("server"))
        assert.same({ "mine" }, named:get("/own"):all("server"))
        assert.same({ "Thu, 01 Jan 1970 00:00:00 GMT" }, named:get("/own"):all("date"))
        named:stop()
        local unnamed = gate_site.start("server = false")
        assert.same({}, unnamed:get("/"):all("server"))
        assert.equal(1, #unnamed:get("/"):all("date"))
        unnamed:stop()
    end)
end)

describe("a client that ends its side", function()
    it("gets its answer, at once or later, and then the close", function()
        for _, target in ipairs { "/", "/sleep/30", "/stream/5", "/big/300000", "/nowhere" } do
            local c = s:connect()
            c:send(http_text.request("GET", target))
            c:shutdown()
            assert.truthy(c:read().status, target)
            c:expect_close()
            c:close()
        end
    end)

    it("before it has asked anything is closed, silently", function()
        for _, begun in ipairs { "", "\r\n", "GET / HTTP/1.1\r\nHo" } do
            local c = s:connect()
            c:send(begun)
            c:shutdown()
            c:expect_close()
            c:close()
        end
    end)
end)

describe("clients that vanish", function()
    it("leave no error in the log, and are counted by the handler's work going on", function()
        local gone = gate_site.start("", [[
            local ended, told = 0, 0
            app:get("/work", function(req) mg.sleep("50ms") if req:is_gone() then told = told + 1 end ended = ended + 1 return "done" end)
            app:get("/ended", function() return ended .. " " .. told end)
        ]])
        for n = 1, 40 do
            local c = gone:connect()
            c:send(http_text.request("GET", n % 4 == 0 and "/flow/2000" or "/work"))
            if n % 4 == 1 then c:close() elseif n % 4 == 2 then c:shutdown() c:close() else c:reset() end
        end
        local limit, text = process.now() + 5, nil
        repeat text = gone:get("/ended").body until text:match("^30 ") or process.now() > limit
        assert.equal("30 10", text) -- a closed side is no sign of having left: it may still read. A reset is
        local code, told = server.run { "status", "--name", gone.name, "--json" }
        assert.equal(0, code)
        assert.is_true(require("cjson").decode(told).total.gone >= 20, told)
        gone:stop()
        assert.falsy(gone:log():find(" error ", 1, true), gone:log())
        assert.falsy(gone:log():find(" warn ", 1, true), gone:log())
    end)
end)
