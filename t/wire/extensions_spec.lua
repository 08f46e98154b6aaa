--- Fields that a site adds to its requests.
local served = require("t.support.served").by
local server = require "t.support.server"

describe("an extension of requests", function()
    local ask = served [[
        local computed = 0
        app:extend_request("user", function(req) computed = computed + 1; return req.headers["x-user"] end)
        app:extend_request("number", function(req) computed = computed + 1; return computed end)
        app:extend_request("slow", function(req) mg.sleep(0.002) return "after a wait" end)
        app:extend_request("broken", function(req) error("extension broke") end)
        app:extend_request("greet", function(req) return function(word) return word .. ", " .. tostring(req.user) end end)
        mg.extend_request("everywhere", function(req) return "everywhere " .. req.path end)
        app:get("/user", function(req) return tostring(req.user) .. " " .. tostring(req.user) end)
        app:get("/once", function(req) local before = computed; local a, b, c = req.number, req.number, req.user, req.user; return tostring(computed - before) end)
        app:get("/unused", function(req) return tostring(computed) end)
        app:get("/slow", function(req) return req.slow end)
        app:get("/broken", function(req) return req.broken end)
        app:get("/greet", function(req) return req.greet("hello") end)
        app:get("/everywhere", function(req) return req.everywhere end)
        app:get("/when", { when = function(req) return req.user == "jane" end }, function(req) return "jane's" end)
        app:get("/when", function(req) return "others'" end)
    ]]

    it("is computed from its own request", function()
        assert.equal("jane jane", ask("GET", "/user", { ["X-User"] = "jane" }).body)
        assert.equal("nil nil", ask("GET", "/user").body)
        assert.equal("john john", ask("GET", "/user", { ["X-User"] = "john" }).body)
    end)

    it("is computed once, and only when it is asked for", function()
        assert.equal("2", ask("GET", "/once").body)
        assert.equal(ask("GET", "/unused").body, ask("GET", "/unused").body)
    end)

    it("may wait, give a function, and serve a predicate", function()
        assert.equal("after a wait", ask("GET", "/slow").body)
        assert.equal("hello, jane", ask("GET", "/greet", { ["x-user"] = "jane" }).body)
        assert.equal("everywhere /everywhere", ask("GET", "/everywhere").body)
        assert.equal("jane's", ask("GET", "/when", { ["x-user"] = "jane" }).body)
        assert.equal("others'", ask("GET", "/when").body)
    end)

    it("that fails is an error of the request", function() assert.equal(500, ask("GET", "/broken").status) end)
end)

describe("an extension that would hide a field of requests", function()
    after_each(server.sweep)

    it("is refused when the file loads", function()
        for _, name in ipairs { "path", "headers", "text", "state", "method", "params", "_p" } do
            local folder = server.folder {
                ["app.lua"] = ("local mg = require 'moongate'; local app = mg.app()\napp:extend_request(%q, function() end)\nreturn app"):format(name),
            }
            local code, out, err = server.run { "check", folder .. "/app.lua" }
            assert.equal(1, code, name)
            assert.matches("app%.lua:2", out .. err)
        end
    end)

    it("is one of all that requests have", function()
        local s = server.start { script = [[
            local mg = require "moongate"
            local app = mg.app()
            local request = require "moongate.request"
            local other, allowed = mg.app(), {}
            for _, has in ipairs { request.Request, request.FIELDS, { method = 1, params = 1, headers = 1, slot = 1, scheme = 1 } } do
                for name in pairs(has) do
                    if pcall(other.extend_request, other, name, print) then allowed[#allowed + 1] = name end
                end
            end
            app:get("/", function(req) return "allowed: " .. table.concat(allowed, " ") end)
            return app]] }
        assert.equal("allowed: ", s:get("/").body)
        s:stop()
    end)
end)
