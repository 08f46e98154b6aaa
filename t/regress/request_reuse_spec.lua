--- What one request left behind used to be found by the next one in its place: assigned fields of the request and of the response, and what
--- tasks held on to.
local served = require("t.support.served").by

describe("a request's place is clean", function()
    local ask, s = served [[
        local noted = {}
        app:get("/noted", function(req)
            local list = noted
            noted = {}
            return mg.array(list)
        end)
        app:get("/assign", function(req)
            local failed = {}
            for _, name in ipairs { "headers", "scheme" } do
                failed[#failed + 1] = tostring(pcall(function() req[name] = {} end))
            end
            return table.concat(failed, " ") .. " " .. req.scheme .. " " .. req.headers.host
        end)
        app:get("/plain", function(req) return req.scheme .. " " .. req.headers.host end)

        app:filter("/fields/*", function(req, next)
            local res = next(req)
            res.headers = { ["x-own"] = req.query.own, ["x-two"] = { "1", "2" } }
            return res
        end)
        app:get("/fields/x", function(req) return 200, "x", { ["x-first"] = "gone" } end)
        app:filter("/later/*", function(req, next)
            local res = next(req)
            res.headers["x-seen"] = tostring(res.headers["x-own"])
            return res
        end)
        app:get("/later/x", function(req) return "x" end)

        app:get("/task", function(req)
            local headers = req.headers
            mg.spawn(function()
                mg.sleep("20ms")
                noted[#noted + 1] = tostring(pcall(function() return headers["x-secret"] end))
            end)
            return "x"
        end)
        app:filter("/result", function(req, next)
            local res = next(req)
            local headers = res.headers
            mg.spawn(function()
                mg.sleep("20ms")
                noted[#noted + 1] = tostring(pcall(function() headers["x-late"] = "1" end)) .. tostring(pcall(function() return res.status end))
            end)
            return res
        end)
        app:get("/result", function(req) return "x" end)
        app:on_done(function(req)
            if req.path ~= "/hook" then return end
            mg.spawn(function()
                mg.sleep("20ms")
                noted[#noted + 1] = tostring(pcall(function() return req.headers["x-secret"] end))
            end)
        end)
        app:get("/hook", function(req) return "x" end)
        app:get("/wait", function(req) mg.sleep("60ms") return "x" end)

        local kept
        app:filter("/kept/*", function(req, next)
            local res = next(req)
            if req.query.keep then
                kept = res
                mg.sleep("60ms")
                return res
            end
            return kept
        end)
        app:get("/kept/x", function(req) return "secret of " .. tostring(req.query.keep) end)

        app:filter("/instead", function(req, next)
            next(req)
            return "sorry"
        end)
        app:get("/instead", function(req)
            return mg.respond { body = "zip", type = "application/gzip", reason = "Zipped", headers = { ["content-encoding"] = "gzip" },
                cookies = { session = "1" } }
        end)
        app:filter("/twice/*", function(req, next)
            next(req)
            return next(req)
        end)
        app:filter("/twice/*", function(req, next)
            local res = next(req)
            res:set_cookie("taste", "sweet")
            return res
        end)
        app:get("/twice/x", function(req) return "x" end)
    ]]

    it("after fields of it were assigned, which fails", function()
        assert.matches("^false false http test", ask("GET", "/assign").body)
        assert.matches("^http test", ask("GET", "/plain").body)
    end)

    it("after all fields of an answer were replaced at once", function()
        local response = ask("GET", "/fields/x?own=me")
        assert.equal("me", response:get("x-own"))
        assert.equal("1, 2", response:get("x-two"))
        assert.is_nil(response:get("x-first"))
        assert.equal("nil", ask("GET", "/later/x"):get("x-seen"))
    end)

    it("for tasks that hold its fields, those of its answer, or were begun by a hook after it", function()
        for _, target in ipairs { "/task", "/result", "/hook" } do
            ask("GET", target)
            local response = ask("GET", "/wait", { ["x-secret"] = "mine" })
            assert.is_nil(response:get("x-late"))
            assert.matches("^%[\"false", ask("GET", "/noted").body)
        end
    end)

    it("for filters that return the answer of another request", function()
        local first = s.server:connect()
        first:send("GET /kept/x?keep=1 HTTP/1.1\r\nHost: a\r\n\r\n")
        s.server:connect():get("/plain")
        assert.equal(500, ask("GET", "/kept/x").status)
        s.server:wait_log("a response of another request was returned")
        assert.equal("secret of 1", first:read().body)
    end)

    it("after an answer that a filter put another in place of", function()
        local response = ask("GET", "/instead")
        assert.equal("sorry", response.body)
        assert.equal("OK", response.reason)
        assert.equal("text/plain; charset=utf-8", response:get("content-type"))
        assert.is_nil(response:get("content-encoding"))
        assert.is_nil(response:get("set-cookie"))
        local _, count = ask("GET", "/twice/x").head:gsub("[Ss]et%-[Cc]ookie", "")
        assert.equal(1, count)
    end)
end)
