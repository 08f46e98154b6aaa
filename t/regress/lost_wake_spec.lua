--- Waits that nothing ended: several tasks that write one slow stream or read one content, and streams that do not listen when they are told
--- that their client has gone.
local process = require "t.support.process"
local served = require("t.support.served").by

describe("nobody waits for ever", function()
    local ask, s = served [[
        local running, ended = 0, 0
        app:get("/many", function(req)
            return mg.stream(function(out)
                local piece = ("x"):rep(65536)
                local function write() for _ = 1, 40 do out:write(piece) end end
                mg.all(write, write, function() mg.timeout("1ms", write) end, write)
                out:write("end")
            end)
        end)
        app:post("/readers", function(req)
            local next = req:chunks()
            local function count()
                local bytes = 0
                for piece in next do bytes = bytes + #piece end
                return bytes
            end
            local first = mg.spawn(count)
            local ok, message = mg.spawn(count):join()
            return { second = message, first = first:join() }
        end)
        app:get("/deaf", function(req)
            running = running + 1
            req:on_done(function() ended = ended + 1 end)
            return mg.sse(function(events)
                while true do
                    events:send("tick")
                    mg.sleep("1ms")
                end
            end)
        end)
        local listeners = {}
        app:get("/listen", function(req)
            return mg.sse(function(events)
                listeners[#listeners + 1] = events
                events:send("hello")
                while not events:is_gone() do mg.sleep("1ms") end
            end)
        end)
        app:get("/tell", function(req)
            local told = {}
            for at, events in ipairs(listeners) do
                for n = 1, 3 do told[#told + 1] = tostring(events:send("news")) end
            end
            return table.concat(told, " ")
        end)
        app:get("/count", function(req) return running .. " " .. ended end)
    ]]

    it("who writes a stream with others", function()
        local c = s.server:connect()
        c:send("GET /many HTTP/1.1\r\nHost: a\r\n\r\n")
        local body = c:read().body
        assert.equal("end", body:sub(-3))
        assert.is_true(#body >= 3 * 40 * 65536)
    end)

    it("who reads content that another task reads already: it is told", function()
        local c = s.server:connect()
        c:send("POST /readers HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345")
        c:expect_silence(0.02)
        c:send("67890")
        assert.equal('{"first":10,"second":"the content is being read by another task"}',
            (c:read().body:gsub('^{("second".-),("first".-)}', "{%2,%1}")))
    end)

    it("who writes to a client that has gone, and does not listen", function()
        for _ = 1, 3 do
            local c = s.server:connect()
            c:send("GET /deaf HTTP/1.1\r\nHost: a\r\n\r\n")
            c:read_head()
            c:reset()
        end
        local limit, count = process.now() + 5, nil
        repeat count = ask("GET", "/count").body until count == "3 3" or process.now() > limit
        assert.equal("3 3", count)
        assert.is_nil(s.server:log():find("error", 1, true))
    end)

    it("and who tells others is not ended for those that have gone", function()
        local c = s.server:connect()
        c:send("GET /listen HTTP/1.1\r\nHost: a\r\n\r\n")
        c:read_head()
        c:reset()
        local limit, told = process.now() + 5, nil
        repeat told = ask("GET", "/tell").body until told == "nil nil nil" or process.now() > limit
        assert.equal("nil nil nil", told)
    end)
end)
