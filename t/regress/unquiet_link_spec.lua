--- While a handler ran, an upstream said something on a connection that was kept, or ended it: the next request of the same turn was sent on it all the
--- same. It got what had been said as its answer, or, when it may not be sent twice, 502.
local origin = require "t.support.origin"
local process = require "t.support.process"
local server = require "t.support.server"

describe("a kept connection that has something unread", function()
    after_each(function()
        server.sweep()
        origin.sweep()
    end)

    local RESPONSE = "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"
    local function answers(client, text)
        client:read_request()
        client:send(RESPONSE:format(#text, text))
    end

    --- What a POST gets behind a handler that ran while `meanwhile(client)` happened at the origin.
    local function posted(meanwhile, engine)
        local o = origin.start(function(o)
            local c = o:accept()
            answers(c, "first")
            process.readable(-1, 0.1) -- the handler runs by now, and for a while
            meanwhile(c)
            local fresh = o:accept()
            answers(fresh, "fresh")
            fresh:expect_close(true)
        end)
        local s = server.start { script = ([[
            local mg = require "moongate"
            local app = mg.app()
            local loop = 0
            app:get("/busy", function()
                local till = os.clock() + 0.3
                while os.clock() < till do loop = loop + 1 end
                return "was busy"
            end)
            app:proxy("/*", mg.upstream { servers = { "%s" } })
            return { app = app, engine = "%s", limits = { handler_time = "10s" } }
        ]]):format(o.address, engine) }
        local c = s:connect()
        assert.equal("first", c:get("/a").body)
        c:send("GET /busy HTTP/1.1\r\nHost: a\r\n\r\nPOST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
        assert.equal("was busy", c:read().body)
        local r = c:read()
        s:stop()
        return r.status, r.body
    end

    for _, engine in ipairs { "io_uring", "epoll" } do
        it("is not used for a request when bytes came, on " .. engine, function()
            assert.same({ 200, "fresh" }, { posted(function(c) c:send(RESPONSE:format(5, "stray")) end, engine) })
        end)

        it("is not used for a request when it has ended, on " .. engine, function()
            assert.same({ 200, "fresh" }, { posted(function(c) c:close() end, engine) })
        end)
    end
end)
