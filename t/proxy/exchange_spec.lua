local ffi = require "ffi"
local socket = require "socket"
local driver = require "t.proxy.driver"
local origin = require "t.support.origin"
local wire = require "t.support.wire"

local GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
local OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

--- An origin that reads one request and says this, and closes unless told to wait for the other side.
local function says(text, stay)
    return origin.start(function(o)
        local client = o:accept()
        o:note(client:read_request().head)
        client:send(text)
        if stay then client:expect_close(true) else client:close() end
    end)
end

local function get(text, options)
    local o = says(text)
    local d = driver.new(options)
    return d:run(d:begin(d:open("api", o.address), GET)), d, o
end

--- A port where nothing listens.
local function dead_address()
    return "127.0.0.1:" .. wire.free_port()
end

describe("an exchange", function()
    after_each(function()
        driver.sweep()
        origin.sweep()
    end)

    it("brings the response of the origin, and tells the origin what the client said", function()
        local x, _, o = get("HTTP/1.1 201 Made\r\nX-A: b\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello")
        assert.same({ "end", 201, "hello", 5 }, { x.ended, x.status, x.content, x.length })
        assert.same({ ["x-a"] = "b" }, x.fields)
        assert.equal("GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 moongate\r\nX-Forwarded-For: 10.9.8.7\r\nX-Forwarded-Proto: http\r\n" ..
            "X-Forwarded-Host: a\r\nX-Request-Id: ID\r\n\r\n", (o:finish()[1]:gsub("Id: %x+", "Id: ID")))
    end)

    it("reads chunks, and content that ends with the connection", function()
        local chunked = get("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nT: 1\r\n\r\n")
        assert.same({ "end", "abcdefg", ffi.C.BODY_CHUNKED }, { chunked.ended, chunked.content, chunked.body_kind })
        local open = get("HTTP/1.0 200 OK\r\n\r\nall of it")
        assert.same({ "end", "all of it", ffi.C.BODY_UNTIL_CLOSE }, { open.ended, open.content, open.body_kind })
    end)

    it("takes a response that comes in pieces of one byte", function()
        local o = origin.start(function(o)
            local client = o:accept()
            client:read_request()
            client:send_pieces("HTTP/1.1 103 Early\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nX-Long: value\r\nTransfer-Encoding: chunked\r\n\r\n" ..
                "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")
            client:expect_close(true)
        end)
        local d = driver.new()
        local x = d:run(d:begin(d:open("api", o.address), GET))
        assert.same({ "end", 200, "abc", "value" }, { x.ended, x.status, x.content, x.fields["x-long"] })
    end)

    it("has no content in the answer to HEAD, and in 204 and 304, whatever their fields say", function()
        for _, case in ipairs { { "HEAD", "200 OK" }, { "GET", "204 No Content" }, { "GET", "304 Not Modified" } } do
            local o = says("HTTP/1.1 " .. case[2] .. "\r\nContent-Length: 5\r\n\r\n", true)
            local d = driver.new()
            local api = d:open("api", o.address)
            local x = d:run(d:begin(api, case[1] .. " / HTTP/1.1\r\nHost: a\r\n\r\n"))
            assert.same({ "end", "", 5, ffi.C.BODY_NONE }, { x.ended, x.content, x.length, x.body_kind })
            assert.equal(1, d:server(api).idle)
            d:close()
        end
    end)

    it("passes over eight interim responses and no more", function()
        local interim = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
        assert.equal("end", get(interim:rep(8) .. OK).ended)
        local x = get(interim:rep(9) .. OK)
        assert.same({ "failed", 502 }, { x.ended, x.status })
        assert.matches("more than 8 interim responses", x.sentence)
    end)

    it("does not let an origin switch protocols by itself", function()
        local x = get("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
        assert.same({ "failed", 502 }, { x.ended, x.status })
        assert.matches("101 %(switching protocols%) without being asked", x.sentence)
    end)

    it("takes a response head of the limit, and answers 502 to a longer one", function()
        local function head(bytes)
            local text = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Pad: "
            return text .. ("p"):rep(bytes - #text - 4) .. "\r\n\r\n"
        end
        assert.equal("end", get(head(16384)).ended)
        local x = get(head(16385))
        assert.same({ "failed", 502 }, { x.ended, x.status })
        assert.matches("malformed response head", x.sentence)
        assert.equal("end", get(head(2000), { head_bytes = 2000 }).ended)
        assert.equal("failed", get(head(2001), { head_bytes = 2000 }).ended)
    end)

    for name, text in pairs {
        ["is not HTTP"] = "SSH-2.0-OpenSSH\r\n\r\n",
        ["has two lengths"] = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
        ["has length and chunks"] = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ["folds a line"] = "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    } do
        it("answers 502 to a head that " .. name, function()
            local x = get(text)
            assert.same({ "failed", 502 }, { x.ended, x.status })
            assert.matches('^upstream "api": 127.0.0.1:%d+: malformed response head: %w', x.sentence)
        end)
    end

    it("answers 502 when the origin closes before a head, and in the middle of one", function()
        for _, text in ipairs { "", "HTTP/1.1 200 OK\r\nContent-Le" } do
            local x = get(text)
            assert.same({ "failed", 502 }, { x.ended, x.status })
            assert.matches('^upstream "api": 127.0.0.1:%d+: connection ended before a response head', x.sentence)
        end
    end)

    it("breaks a response that is cut, or whose chunks are none", function()
        for _, text in ipairs { "Content-Length: 5\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n" } do
            local x = get("HTTP/1.1 200 OK\r\n" .. text)
            assert.same({ "broken", 200, "abc" }, { x.ended, x.status, x.content })
            assert.matches("in the middle of the response", x.sentence)
        end
        local x = get("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcXX0\r\n\r\n")
        assert.same({ "broken", "abc" }, { x.ended, x.content })
        assert.matches("malformed chunks", x.sentence)
    end)

    it("gives back everything when it has ended or was aborted", function()
        local o = origin.start(function(o) o:serve(function() return "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf" end) end)
        local d = driver.new()
        local api = d:open("api", o.address)
        local x = d:begin(api, GET)
        d:run(function() return x.status end)
        d:abort(x)
        assert.equal(-32, d:send(x, "", true))
        d:abort(x)
        d:run(function() return d:facts().connections == 0 end)
        assert.same({ 0, 0 }, { d:facts().exchanges, d:server(api).connections })
        local early = d:begin(api, GET)
        d:abort(early)
        d:run(function() return d:facts().connections == 0 end)
    end)

    it("is refused when all exchanges are in use, and not one sooner", function()
        local o = origin.start(function(o) o:serve(function() return OK end) end)
        local d = driver.new({ exchanges = 2 })
        local api = d:open("api", o.address)
        local a, b = d:begin(api, GET), d:begin(api, GET)
        assert.same({ nil, -105 }, { d:begin(api, GET) })
        d:run(a)
        d:run(b)
        assert.equal("end", d:run(d:begin(api, GET)).ended)
    end)

    it("answers 503 when every connection is in use", function()
        local d = driver.new({ connections = 1 })
        local api = d:open("api", says("", true).address)
        local first = d:begin(api, GET)
        local x = d:run(d:begin(api, GET))
        assert.same({ "failed", 503 }, { x.ended, x.status })
        assert.matches("no connection is free here", x.sentence)
        d:abort(first)
    end)

    it("knows no upstream that is not open", function()
        local d = driver.new()
        assert.same({ nil, -2 }, { d:begin(0, GET) })
        assert.same({ nil, -2 }, { d:begin(-1, GET) })
        assert.same({ nil, -2 }, { d:begin(256, GET) })
    end)
end)

describe("limits of time", function()
    after_each(function()
        driver.sweep()
        origin.sweep()
    end)

    it("answer 504 when no head comes, also when one comes slowly", function()
        for _, text in ipairs { "", "HTTP/1.1 200" } do
            local d = driver.new({ head_ms = 40 })
            local x = d:run(d:begin(d:open("api", says(text, true).address), GET))
            assert.same({ "failed", 504 }, { x.ended, x.status })
            assert.matches("no response head within 40ms", x.sentence)
        end
    end)

    it("break a response that stops", function()
        local d = driver.new({ between_ms = 40 })
        local x = d:run(d:begin(d:open("api", says("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", true).address), GET))
        assert.same({ "broken", "abc" }, { x.ended, x.content })
        assert.matches("no further content within 40ms", x.sentence)
    end)

    it("answer 504 when a connection is not made", function()
        local full = assert(socket.tcp4())
        assert(full:bind("127.0.0.1", 0))
        assert(full:listen(0))
        local _, port = full:getsockname()
        local waiting = {}
        for i = 1, 4 do
            waiting[i] = socket.tcp4()
            waiting[i]:settimeout(0)
            waiting[i]:connect("127.0.0.1", port)
        end
        local d = driver.new({ connect_ms = 40 })
        local x = d:run(d:begin(d:open("api", "127.0.0.1:" .. port), GET))
        assert.same({ "failed", 504 }, { x.ended, x.status })
        assert.equal(('upstream "api": connect 127.0.0.1:%d: no connection within 40ms'):format(port), x.sentence)
        full:close() -- all of them now: collected in a forked origin they would close somebody else's descriptor
        for _, one in ipairs(waiting) do one:close() end
    end)

    it("do not count while the client is slow with its content", function()
        local d = driver.new({ head_ms = 400 })
        local api = d:open("api", says(OK, true).address)
        local x = d:begin(api, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n")
        d:pass(900)
        assert.is_nil(x.ended)
        d:send(x, "hi", true)
        assert.same({ "end", 200 }, { d:run(x).ended, x.status })
    end)

    it("do not count while the response is paused", function()
        local o = origin.start(function(o)
            local client = o:accept()
            client:read_request()
            client:send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
            o:accept():close() -- when the spec says so
            client:send("cd")
            client:expect_close(true)
        end)
        local d = driver.new({ between_ms = 30 })
        local c = require "t.support.c".lib()
        local x = d:begin(d:open("api", o.address), GET)
        x.on_content = function(one)
            if one.pieces == 1 then c.proxy_read_pause(d.proxy, one.number) end
        end
        d:run(function() return x.pieces > 0 end)
        d:pass(100)
        assert.is_nil(x.ended)
        c.proxy_read_resume(d.proxy, x.number)
        assert(socket.connect(o.host, o.port)):close()
        assert.same({ "end", "abcd" }, { d:run(x).ended, x.content })
    end)
end)

describe("connections", function()
    local o, d
    after_each(function()
        driver.sweep()
        origin.sweep()
    end)

    --- An origin whose first connection answers once and is ended when the spec says so; the second answers and stays.
    local function closes_after_one(reset)
        return origin.start(function(script)
            local first = script:accept()
            first:read_request()
            first:send(OK)
            script:accept():close()
            if reset then first.socket:setoption("linger", { on = true, timeout = 0 }) end
            first:close()
            script:note("closed")
            local second = script:accept()
            script:note(second:read_request().body)
            second:send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nagain")
            second:expect_close(true)
        end)
    end

    --- A request whose connection ends between being chosen for it and being written to.
    local function on_stale_connection(reset, request)
        o = closes_after_one(reset)
        d = driver.new()
        local api = d:open("api", o.address)
        d:run(d:begin(api, GET))
        assert.equal(1, d:facts().idle)
        local x = d:begin(api, request)
        assert(socket.connect(o.host, o.port)):close()
        assert.equal("closed", o:note_of(1))
        return x
    end

    it("are kept and used again, the last used first", function()
        o = origin.start(function(script) script:serve(function() return OK end) end)
        d = driver.new()
        local api = d:open("api", o.address)
        for _ = 1, 5 do assert.equal("ok", d:run(d:begin(api, GET)).content) end
        local a, b = d:begin(api, GET), d:begin(api, GET)
        d:run(a)
        d:run(b)
        assert.same({ 2, 5, 2 }, { tonumber(d:facts().connects), tonumber(d:facts().reused), d:server(api).idle })
    end)

    it("are used again after a response that ended while it was paused", function()
        local body = ("x"):rep(10000) -- more than one lent buffer: the rest is on its way when the first is told
        o = origin.start(function(script) script:serve(function() return "HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n" .. body end) end)
        d = driver.new()
        local api = d:open("api", o.address)
        local lib, paused = require "t.support.c".lib(), 0
        for _ = 1, 5 do
            local x = d:begin(api, GET)
            x.on_content = function(one)
                lib.proxy_read_pause(d.proxy, one.number)
                paused = paused + 1
            end
            d:run(function()
                if not x.ended and d:turn(0) then lib.proxy_read_resume(d.proxy, x.number) end
                return x.ended
            end)
            assert.same({ "end", 10000 }, { x.ended, #x.content })
        end
        assert.is_true(paused >= 5)
        assert.equal(1, tonumber(d:facts().connects))
    end)

    it("are not kept beyond the number per server, nor beyond their time", function()
        o = origin.start(function(script) script:serve(function() return OK end) end)
        d = driver.new({ idle_per_server = 2, idle_ms = 500 })
        local api, all = d:open("api", o.address), {}
        for i = 1, 4 do all[i] = d:begin(api, GET) end
        for i = 1, 4 do d:run(all[i]) end
        assert.equal(2, d:server(api).idle)
        d:pass(1000)
        assert.same({ 0, 0 }, { d:server(api).idle, d:facts().idle })
        d:run(function() return d:server(api).connections == 0 end)
    end)

    it("are kept no longer than the server says", function()
        o = origin.start(function(script)
            script:serve(function() return "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1, max=5\r\nContent-Length: 2\r\n\r\nok" end)
        end)
        d = driver.new({ idle_ms = 60000 })
        local api = d:open("api", o.address)
        d:run(d:begin(api, GET))
        d:pass(100)
        assert.equal(1, d:facts().idle)
        d:run(function() return d:facts().idle == 0 end)
    end)

    it("are not used again after Connection: close, extra bytes, or a message that ends with the connection", function()
        for _, text in ipairs { "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", OK .. "X",
                                "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", OK .. OK } do
            local x, one = get(text)
            assert.same({ "end", "ok" }, { x.ended, x.content })
            assert.equal(0, one:facts().idle)
            one:close()
        end
    end)

    it("are dropped when the origin ends them, or speaks without being asked", function()
        for _, rest in ipairs { "", "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n" } do
            o = origin.start(function(script)
                local client = script:accept()
                client:read_request()
                client:send(OK)
                script:accept():close() -- when the spec says so
                if rest ~= "" then
                    client:send(rest)
                    client:expect_close(true)
                end
                client:close()
            end)
            d = driver.new({ idle_ms = 60000 })
            local api = d:open("api", o.address)
            d:run(d:begin(api, GET))
            assert.equal(1, d:server(api).idle)
            assert(socket.connect(o.host, o.port)):close()
            d:run(function() return d:facts().connections == 0 end)
            assert.equal(0, d:server(api).idle)
            d:close()
        end
    end)

    it("that turn out stale are replaced once for a request that may be repeated", function()
        local x = on_stale_connection(false, GET)
        d:run(x)
        assert.same({ "end", "again", 1 }, { x.ended, x.content, tonumber(d:facts().retried) })
    end)

    it("that turn out stale fail a request that may not be repeated once it was sent", function()
        local x = on_stale_connection(false, "POST / HTTP/1.1\r\nHost: a\r\n\r\n")
        d:run(x)
        assert.same({ "failed", 502, 0 }, { x.ended, x.status, tonumber(d:facts().retried) })
    end)

    it("that were reset are replaced for any request, content and all, since nothing of it was taken", function()
        local x = on_stale_connection(true, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        d:send(x, "first ")
        d:send(x, "second", true)
        assert.same({ "end", "again", 1 }, { d:run(x).ended, x.content, tonumber(d:facts().retried) })
        assert.equal("first second", o:note_of(2))
    end)

    it("that are fresh are never replaced", function()
        o = origin.start(function(script)
            for _ = 1, 2 do
                local client = script:accept()
                script:note(client:read_request().method)
                client:close()
            end
        end)
        d = driver.new()
        local x = d:run(d:begin(d:open("api", o.address), GET))
        assert.same({ "failed", 502 }, { x.ended, x.status })
        assert.equal(1, #o:noted())
    end)

    it("are not used again after an answer that came before the request was whole", function()
        o = says("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno", true)
        o:stop()
        o = origin.start(function(script)
            local client = script:accept()
            client:read_bytes(10)
            client:send("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
            client:read_to_end()
        end)
        d = driver.new()
        local api = d:open("api", o.address)
        local x = d:begin(api, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n")
        d:send(x, "part")
        assert.same({ "end", 413, "no" }, { d:run(x).ended, x.status, x.content })
        assert.equal(-32, d:send(x, "more"))
        assert.equal(0, d:facts().idle)
    end)
end)

describe("servers", function()
    after_each(function()
        driver.sweep()
        origin.sweep()
    end)

    it("that refuse are passed over, and named when all of them do", function()
        local o = origin.start(function(script) script:serve(function() return OK end) end)
        local dead = dead_address()
        local d = driver.new()
        local api = d:open("api", dead .. "\n" .. o.address)
        for _ = 1, 3 do assert.equal("ok", d:run(d:begin(api, GET)).content) end
        assert.same({ 1, 0 }, { d:server(api, 0).failures, d:server(api, 1).failures })
        local gone = d:open("gone", dead)
        local x = d:run(d:begin(gone, GET))
        assert.same({ "failed", 502, ('upstream "gone": connect %s: connection refused'):format(dead) }, { x.ended, x.status, x.sentence })
    end)

    it("get content that came before there was a connection, also the one that is asked second", function()
        local o = origin.start(function(script)
            local client = script:accept()
            script:note(client:read_request().body)
            client:send(OK)
            client:expect_close(true)
        end)
        local d = driver.new()
        local api = d:open("api", dead_address() .. " 1000\n" .. o.address)
        local x = d:begin(api, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n")
        assert.is_true(d:send(x, "early ") > 0)
        assert.is_true(d:send(x, "bytes!") > 0)
        assert.equal("ok", d:run(x).content)
        assert.equal("early bytes!", o:note_of(1))
    end)

    it("are reached by a socket path", function()
        local path = os.tmpname()
        os.remove(path)
        local listener = require "socket.unix"()
        assert(listener:bind(path))
        assert(listener:listen())
        local d = driver.new()
        local x = d:begin(d:open("local", "unix:" .. path), "GET / HTTP/1.0\r\n\r\n")
        d:turn()
        local client = wire.adopt(assert(listener:accept()))
        d:run(function() return #socket.select({ client.socket }, nil, 0) > 0 end)
        assert.equal("localhost", client:read_request():get("host"))
        client:send(OK)
        assert.equal("ok", d:run(x).content)
        client:close()
        listener:close()
        os.remove(path)
    end)

    it("take turns by weight", function()
        local first = origin.start(function(script) script:serve(function() return OK end) end)
        local second = origin.start(function(script) script:serve(function() return "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2" end) end)
        local d = driver.new()
        local api = d:open("api", first.address .. " 3\n" .. second.address .. " 1\nbalance round-robin")
        local text = {}
        for i = 1, 8 do text[i] = d:run(d:begin(api, GET)).content end
        assert.equal("ok ok 2 ok ok ok 2 ok", table.concat(text, " "))
    end)
end)

describe("request content", function()
    local d, o
    after_each(function()
        driver.sweep()
        origin.sweep()
    end)

    local function begin(head, options)
        o = origin.start(function(script)
            local client = script:accept()
            local request = client:read_request()
            script:note(#request.body .. " " .. request.head:match("\r\n([CT][^\r]*)\r\n\r\n$"))
            client:send(OK)
            client:expect_close(true)
        end)
        d = driver.new(options)
        return d:begin(d:open("api", o.address), "POST / HTTP/1.1\r\nHost: a\r\n" .. head .. "\r\n\r\n")
    end

    it("goes by length, to the byte", function()
        local x = begin("Content-Length: 5")
        assert.equal(-90, d:send(x, "123456"))
        assert.equal(-90, d:send(x, "1234", true))
        assert.is_true(d:send(x, "123") >= 0)
        assert.equal(-90, d:send(x, "456"))
        assert.is_true(d:send(x, "45") >= 0)
        assert.is_true(d:send(x, "", true) >= 0)
        assert.equal(-90, d:send(x, "6"))
        assert.equal("end", d:run(x).ended)
        assert.equal("5 Content-Length: 5", o:note_of(1))
    end)

    it("goes in chunks made anew", function()
        local x = begin("Transfer-Encoding: chunked")
        for _, piece in ipairs { "a", ("b"):rep(70000), "", "c" } do d:send(x, piece) end
        d:send(x, "", true)
        assert.equal("end", d:run(x).ended)
        assert.equal("70002 Transfer-Encoding: chunked", o:note_of(1))
        assert.equal(1, d:facts().idle)
    end)

    it("waits behind a window, and tells once when there is room again", function()
        local bytes, piece = 8 * 1048576, ("x"):rep(65536)
        local x = begin("Content-Length: " .. bytes, { window_bytes = 100000 })
        local sent, most = 0, 0
        while sent < bytes do
            local waiting = d:send(x, piece)
            assert.is_true(waiting >= 0)
            sent, most = sent + #piece, math.max(most, waiting)
            if waiting > 100000 then
                local before = x.writable
                d:run(function() return x.writable > before end)
                assert.equal(before + 1, x.writable)
            end
        end
        assert.is_true(most <= 100000 + #piece + 500)
        assert.equal("end", d:run(x).ended)
        assert.equal(bytes .. " Content-Length: " .. bytes, o:note_of(1))
    end)

    it("is bounded before there is a connection", function()
        local x = begin("Transfer-Encoding: chunked", { window_bytes = 1000 })
        local result, sent = 0, 0
        while result >= 0 do
            result, sent = d:send(x, ("x"):rep(1000)), sent + 1000
        end
        assert.equal(-105, result)
        assert.is_true(sent >= 8000 and sent < 11000, "taken: " .. sent)
        assert.same({ "failed", 503 }, { d:run(x).ended, x.status })
        assert.equal(-32, d:send(x, "x"))
    end)
end)

describe("a slow client", function()
    after_each(function()
        driver.sweep()
        origin.sweep()
    end)

    it("stops the origin, and gets every byte", function()
        local bytes = 8 * 1048576
        local o = origin.start(function(script)
            local client = script:accept()
            client:read_request()
            client:send("HTTP/1.1 200 OK\r\nContent-Length: " .. bytes .. "\r\n\r\n")
            local text = {}
            for i = 1, bytes / 8 do text[i] = ("%07x\n"):format(i) end
            client.seconds = 10
            client:send(table.concat(text))
            client:expect_close(true)
        end)
        local lib = require "t.support.c".lib()
        local d = driver.new()
        local x = d:begin(d:open("api", o.address), GET)
        local paused, most = 0, 0
        x.on_content = function(one)
            paused = paused + #one.content[#one.content]
            if paused > 65536 then lib.proxy_read_pause(d.proxy, one.number) end
        end
        d:run(function()
            if paused > 65536 then
                for _ = 1, 3 do d:turn(0) end
                most = math.max(most, paused)
                paused = 0
                lib.proxy_read_resume(d.proxy, x.number)
            end
            return x.ended
        end)
        assert.same({ "end", bytes }, { x.ended, #x.content })
        assert.equal(("%07x\n"):format(bytes / 8), x.content:sub(-8))
        assert.is_true(most < 4 * 1048576, "much came after the pause: " .. most)
    end)
end)
