--- What runs after the last byte of an answer.
local process = require "t.support.process"
local served = require("t.support.served").by

describe("a hook after the answer", function()
    local ask, s = served [[
        local seen, answered = {}, 0
        app:on_done(function(req)
            answered = answered + 1
            if req.path ~= "/seen" then seen[#seen + 1] = "app:" .. req.path .. ":" .. tostring(req.state.name) end
        end)
        app:on_done(function(req) if req.path == "/raises" then error("the hook broke") end end)
        app:on_done(function(req) if req.path == "/waits" then mg.sleep(0.002) seen[#seen + 1] = "waited" end end)
        app:get("/seen", function(req) local text = table.concat(seen, " "); seen = {}; return text end)
        app:get("/count", function(req) return tostring(answered) end)
        app:get("/plain", function(req) return "plain" end)
        app:get("/state", function(req) req.state.name = "kept" return "x" end)
        app:get("/own", function(req)
            req:on_done(function(r) seen[#seen + 1] = "own:" .. tostring(r == req) .. ":" .. tostring(r:is_gone()) .. ":" .. r.headers.host end)
            req:on_done(function() seen[#seen + 1] = "second" end)
            return "x"
        end)
        app:get("/stream", function(req)
            return mg.stream(function(out)
                out:write("x")
                req:on_done(function() seen[#seen + 1] = "from the stream" end)
                mg.sleep(0.002)
            end)
        end)
        app:get("/error", function(req) req:on_done(function() seen[#seen + 1] = "after an error" end) error("x") end)
        app:get("/raises", function(req) return "x" end)
        app:get("/waits", function(req) return "x" end)
        app:get("/big", function(req) return ("x"):rep(30000000) end)
        app:get("/slow", function(req) mg.sleep(0.05) return "x" end)
        app:post("/small", { body = 3 }, function(req) return "x" end)
        app:get("/misuse", function(req) req:on_done("no function") end)
    ]]

    --- Everything that hooks noted until all of these words are there.
    local function seen(...)
        local text, limit = "", process.now() + 10
        while true do
            text = text .. " " .. ask("GET", "/seen").body
            local missing
            for _, word in ipairs { ... } do missing = missing or not text:find(word, 1, true) and word end
            if not missing then return text end
            assert(process.now() < limit, ("no %q in time: %s"):format(missing, text))
        end
    end

    it("of the app runs for every answer, also for errors and for what nothing answers", function()
        ask("GET", "/plain")
        ask("GET", "/nowhere")
        ask("POST", "/plain", nil, "")
        ask("POST", "/small", nil, "too long")
        seen("app:/plain:nil", "app:/nowhere:nil", "app:/plain:nil", "app:/small:nil")
    end)

    it("has the request with its state", function()
        ask("GET", "/state")
        seen("app:/state:kept")
    end)

    it("of the request runs, in order, also when it was asked for in a stream or before an error", function()
        ask("GET", "/own")
        seen("own:true:false:test second")
        ask("GET", "/stream")
        seen("from the stream")
        ask("GET", "/error")
        seen("after an error")
        assert.equal(500, ask("GET", "/misuse").status)
    end)

    it("runs when the client has left", function()
        local c = s.server:connect()
        c:send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        c:reset()
        seen("app:/slow:nil")
    end)

    it("runs after the last byte was taken, not before", function()
        local c = s.server:connect()
        c:send("GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
        c:read_head()
        for _ = 1, 50 do assert.is_nil(ask("GET", "/seen").body:find("/big", 1, true)) end
        c:read_bytes(30000000)
        seen("app:/big:nil")
    end)

    it("that fails is logged; one that waits, waits alone", function()
        ask("GET", "/raises")
        s.server:wait_log("on_done at [^\n]*app%.lua:%d+: [^\n]*the hook broke")
        ask("GET", "/waits")
        seen("waited")
    end)

    it("is as often as there were answers, with clients that leave and others that stay", function()
        local before = tonumber(ask("GET", "/count").body)
        for round = 1, 100 do
            local c = s.server:connect()
            c:pipeline { "/plain", "/own", "/nowhere" }
            if round % 2 == 0 then c:reset() else c:close() end
        end
        local limit, now = process.now() + 10, 0
        local asked = 0
        repeat
            now = tonumber(ask("GET", "/count").body)
            asked = asked + 1
        until now - before - asked >= 300 or process.now() > limit
        assert.equal(300, now - before - asked)
    end)
end)
