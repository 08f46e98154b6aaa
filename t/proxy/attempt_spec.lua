--- Requests that are sent more than once, and those that must not be.
local socket = require "socket"
local driver = require "t.proxy.driver"
local origin = require "t.support.origin"
local process = require "t.support.process"
local wire = require "t.support.wire"

local GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
local POST = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n"

local function answer(text)
    return ("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"):format(#text, text)
end

local UNAVAILABLE = "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"

--- An origin that says this to every request: a text, false to close, or nothing to stay silent.
local function says(text)
    return origin.start(function(o)
        o:serve(function(request, _, client)
            o:note(request.method .. " " .. request.body)
            if text == nil then client:expect_close(true) end
            return text or nil
        end)
    end)
end

local function dead_address()
    return "127.0.0.1:" .. wire.free_port()
end

describe("another attempt", function()
    local d
    before_each(function() d = driver.new() end)
    after_each(function()
        driver.sweep()
        origin.sweep()
    end)

    --- An upstream whose first server is nearly always the one asked first.
    local function group(first, second)
        return d:open("api", first.address .. " 1000\n" .. second.address)
    end

    local function ask(api, lines, head, body)
        local x = d:begin(api, head or GET, { terms = d:terms(lines or "") })
        if body then d:send(x, body, true) end
        return d:run(x)
    end

    it("goes to another server when the first ends the connection before a head", function()
        local api = group(says(false), says(answer "second"))
        local x = ask(api)
        assert.same({ "end", "second", 1 }, { x.ended, x.content, tonumber(d:facts().repeated) })
    end)

    it("is not made for a method that may not be repeated, unless that was said", function()
        local first, second = says(false), says(answer "second")
        local api = group(first, second)
        local x = ask(api, "", POST, "body")
        assert.same({ "failed", 502 }, { x.ended, x.status })
        assert.matches("connection ended before a response head$", x.sentence)
        x = ask(api, "methods POST\n", POST, "body")
        assert.same({ "end", "second" }, { x.ended, x.content })
        assert.equal("POST body", second:note_of(1))
    end)

    it("is made when connecting fails, whatever the method", function()
        local api = d:open("api", dead_address() .. " 1000\n" .. says(answer "second").address)
        assert.equal("second", ask(api, "", POST, "body").content)
        api = d:open("other", dead_address() .. " 1000\n" .. says(answer "second").address)
        local x = ask(api, "on reset\n")
        assert.same({ "failed", 502 }, { x.ended, x.status })
    end)

    it("is made after a timeout and a status only where that was said", function()
        local api = group(says(nil), says(answer "second"))
        local x = ask(api, "head 40\n")
        assert.same({ "failed", 504 }, { x.ended, x.status })
        assert.equal("second", ask(api, "head 400\non timeout\n").content)
        api = group(says(UNAVAILABLE), says(answer "second"))
        assert.equal(503, ask(api).status)
        assert.equal("second", ask(api, "on 502 503\n").content)
    end)

    it("passes the last status on when there is none left", function()
        local o = says(UNAVAILABLE)
        local x = ask(d:open("api", o.address), "on 503\nattempts 3\n")
        assert.same({ "end", 503, "busy" }, { x.ended, x.status, x.content })
        assert.equal(3, #o:noted())
    end)

    it("says which attempt failed last, and where", function()
        local o = says(nil)
        local x = ask(d:open("api", o.address), "head 40\non timeout\nattempts 2\n")
        assert.equal(('upstream "api": %s: no response head within 40ms (attempt 2 of 2)'):format(o.address), x.sentence)
    end)

    it("is never made once there is only one", function()
        local x = ask(group(says(false), says(answer "second")), "attempts 1\n")
        assert.same({ "failed", 502 }, { x.ended, x.status })
    end)

    it("is not made when the body is too long to be kept, and not one byte sooner", function()
        local api = group(says(false), says(answer "second"))
        local head = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
        local body = ("x"):rep(1000)
        local first = d:begin(api, head:format(1000), { terms = d:terms("") })
        local whole = d:send(first, body, true) -- there is no connection yet: all of it waits
        d:run(first)
        assert.equal("second", first.content)
        local function with(replay)
            d:close()
            d = driver.new()
            api = group(says(false), says(answer "second"))
            return ask(api, ("replay %d\n"):format(replay), head:format(1000), body)
        end
        assert.equal("second", with(whole).content)
        assert.equal("failed", with(whole - 1).ended)
    end)

    it("is not made after a response byte was passed on", function()
        local o = origin.start(function(o)
            o:serve(function(_, _, client)
                client:send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart")
                return nil
            end)
        end)
        local second = says(answer "second")
        local x = ask(group(o, second), "on reset timeout connect\n")
        assert.same({ "broken", "part" }, { x.ended, x.content })
        assert.equal(0, #second:noted())
    end)

    it("comes out of a budget", function()
        local api = d:open("api", says(false).address)
        local terms, last = d:terms("share 0\non reset\nattempts 2\n"), nil
        local began = process.now()
        for _ = 1, 100 do -- some are given back while time passes
            last = d:run(d:begin(api, GET, { terms = terms })).sentence
            if last:find("budget", 1, true) then break end
        end
        local repeated = tonumber(d:facts().repeated)
        assert.is_true(repeated >= 10 and repeated <= 11 + (process.now() - began) * 10, repeated .. " were repeated")
        assert.matches("not tried again: the retry budget is used up", last)
    end)

    it("gives all of them no more time than one", function()
        local x = ask(group(says(nil), says(nil)), "head 400\ntotal 700\non timeout\nattempts 5\n")
        assert.same({ "failed", 504 }, { x.ended, x.status })
        assert.matches("the response was not complete within 700ms %(attempt 2 of 5%)$", x.sentence)
    end)
end)

describe("a second server", function()
    local d
    before_each(function() d = driver.new() end)
    after_each(function()
        driver.sweep()
        origin.sweep()
    end)

    it("is asked as well when the first is slow, and the faster answer counts", function()
        local first, second = says(nil), says(answer "second")
        local api = d:open("api", first.address .. " 1000\n" .. second.address)
        local x = d:run(d:begin(api, GET, { terms = d:terms("hedge 20\n") }))
        assert.same({ "end", "second", 1 }, { x.ended, x.content, tonumber(d:facts().hedged) })
        assert.equal("GET ", first:note_of(1))
        d:run(function() return d:facts().connections == 1 end) -- the slow one is closed, the other kept
    end)

    it("is not asked for what may not be sent twice, nor when the first answers in time", function()
        local second = says(answer "second")
        local api = d:open("api", says(nil).address .. " 1000\n" .. second.address)
        local x = d:begin(api, POST, { terms = d:terms("hedge 20\nhead 60\n") })
        d:send(x, "body", true)
        assert.equal("failed", d:run(x).ended)
        api = d:open("fast", says(answer "first").address .. " 1000\n" .. second.address)
        assert.equal("first", d:run(d:begin(api, GET, { terms = d:terms("hedge 1000\n") })).content)
        assert.equal(0, tonumber(d:facts().hedged))
    end)

    it("becomes the only one when the first fails, and is forgotten when it fails itself", function()
        local slow = origin.start(function(o)
            local client = o:accept()
            client:read_request()
            o:accept():close() -- when the spec says so
            client:close()
        end)
        local second = origin.start(function(o)
            local client = o:accept()
            client:read_request()
            o:note("asked")
            o:accept():close()
            client:send(answer "second")
            client:expect_close(true)
        end)
        local api = d:open("api", slow.address .. " 1000\n" .. second.address)
        local x = d:begin(api, GET, { terms = d:terms("hedge 10\n") })
        d:run(function() return tonumber(d:facts().hedged) == 1 end)
        d:pass(20)
        assert(socket.connect(slow.host, slow.port)):close()
        d:pass(20)
        assert.is_nil(x.ended)
        assert(socket.connect(second.host, second.port)):close()
        assert.same({ "end", "second" }, { d:run(x).ended, x.content })

        api = d:open("again", says(nil).address .. " 1000\n" .. says(false).address)
        x = d:run(d:begin(api, GET, { terms = d:terms("hedge 10\nhead 1000\n") }))
        assert.same({ "failed", 504 }, { x.ended, x.status })
        d:run(function() return d:facts().exchanges == 0 end)
    end)
end)

describe("a request that the server does not take", function()
    after_each(function()
        driver.sweep()
        origin.sweep()
    end)

    it("fails when nothing moves for so long", function()
        local o = origin.start(function(o)
            local client = o:accept()
            client:read_bytes(10)
            o:accept(20):close()
        end)
        local d = driver.new { window_bytes = 1048576 }
        local x = d:begin(d:open("api", o.address), "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n", { terms = d:terms("send 100\n") })
        local piece, waiting = ("x"):rep(65536), 0
        d:pass(20) -- until it is connected
        while not x.ended and waiting <= 1048576 do
            waiting = d:send(x, piece)
            d:turn(0)
        end
        d:run(x)
        assert.same({ "failed", 504 }, { x.ended, x.status })
        assert.matches("took nothing of the request for 100ms", x.sentence)
        assert(socket.connect(o.host, o.port)):close()
    end)
end)
