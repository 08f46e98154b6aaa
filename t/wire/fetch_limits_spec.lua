--- The bounds of fetches: how many, how long unread, how many origins; and what a reload keeps of them.
local origin = require "t.support.origin"
local server = require "t.support.server"

--- Answers at once, but for /hold, which begins an endless response.
local function answer(request, o, client)
    if request.target == "/hold" then
        client:send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        local piece = ("%x\r\n%s\r\n"):format(16384, ("e"):rep(16384))
        while pcall(client.send, client, piece) do end
        o:note("left alone")
        return nil
    end
    return "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
end

describe("fetches", function()
    after_each(function()
        origin.sweep()
        server.sweep()
    end)

    it("are open to a bound, and those that nobody holds do not count", function()
        local o = origin.start(function(self) self:serve(answer) end)
        local s = server.start { script = ([[
            local mg = require "moongate"
            local app = mg.app()
            app:get("/open/:n", function(req)
                local held = {}
                for at = 1, tonumber(req.params.n) do
                    local res, message, code = mg.fetch("http://ADDRESS/hold")
                    if not res then return mg.json { at = at, message = message, code = code } end
                    held[at] = res
                end
                return mg.json { at = #held }
            end)
            app:get("/lose/:n", function(req)
                mg.timeout("20s", function() for at = 1, tonumber(req.params.n) do assert(mg.fetch("http://ADDRESS/hold")) end end)
                return "lost"
            end)
            return { app = app, limits = { fetches = 4 } }]]):gsub("ADDRESS", o.address) }
        local json = require "cjson"
        assert.equal(4, json.decode(s:get("/open/4").body).at)
        local told = json.decode(s:get("/open/5").body)
        assert.equal(5, told.at)
        assert.equal(503, told.code)
        assert.matches("limits.fetches", told.message)
        assert.equal(4, json.decode(s:get("/open/4").body).at) -- those of a request end with it
        assert.equal("lost", s:get("/lose/9").body)
        s:stop()
    end)

    it("give up content that nobody reads, and not what is read slowly", function()
        local o = origin.start(function(self) self:serve(answer) end)
        local s = server.start { script = ([[
            local mg = require "moongate"
            local app = mg.app()
            app:get("/sleep/:time", function(req)
                local res = mg.fetch("http://ADDRESS/hold")
                local next, count = res:chunks(), 0
                while count < 5 do
                    mg.sleep(req.params.time)
                    local piece, message, code = next()
                    if not piece then return mg.json { count = count, message = message, code = code } end
                    count = count + 1
                end
                return mg.json { count = count }
            end)
            app:get("/late", function(req)
                local res = mg.fetch("http://ADDRESS/hold")
                mg.sleep("600ms")
                local text, message, code = res:text("1g")
                return mg.json { message = message, code = code }
            end)
            return { app = app, limits = { fetch_unread = "300ms" } }]]):gsub("ADDRESS", o.address) }
        local json = require "cjson"
        assert.same({ count = 5 }, json.decode(s:get("/sleep/60ms").body))
        local told = json.decode(s:get("/late").body)
        assert.equal(502, told.code)
        assert.matches("nobody has read its content for 300 ms %(limits.fetch_unread%)", told.message)
        assert.equal("left alone", o:note_of(1))
        s:stop()
    end)

    it("keep connections to an origin across requests and reloads", function()
        local o = origin.start(function(self)
            local c = self:accept() -- one for all
            while true do
                local ok, request = pcall(c.read_request, c)
                if not ok then break end
                self:note(request.target)
                c:send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            end
        end)
        local s = server.start { script = ([[
            local mg = require "moongate"
            local app = mg.app()
            app:get("/*", function(req) return mg.fetch("http://ADDRESS" .. req.path) end)
            return app]]):gsub("ADDRESS", o.address) }
        for at = 1, 3 do
            assert.equal("ok", s:get("/" .. at).body)
            assert.equal("/" .. at, o:note_of(at))
            assert.equal(0, (server.run { "reload", "--name", s.name }))
        end
        s:stop()
    end)

    it("use more origins than are kept: those used least recently give way", function()
        local everywhere = server.start { listen = { "0.0.0.0:0" }, script = [[local app = require("moongate").app()
            app:get("/", function(req) return req.authority end) return app]] }
        local s = server.start { script = ([[
            local mg = require "moongate"
            local app = mg.app()
            app:get("/:n", function(req)
                for at = 1, tonumber(req.params.n) do
                    local host = ("127.0.1.%d:PORT"):format(at)
                    assert(mg.fetch("http://" .. host .. "/"):text() == host)
                end
                return ("%d of %d"):format(require("moongate.origins").count())
            end)
            return app]]):gsub("PORT", tostring(everywhere.port)) }
        assert.equal("64 of 64", s:get("/64").body)
        assert.equal("64 of 64", s:get("/65").body)
        assert.equal("64 of 64", s:get("/200").body)
        s:stop()
        everywhere:stop()
    end)
end)
