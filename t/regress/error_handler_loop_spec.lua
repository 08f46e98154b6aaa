--- An error handler whose own answer fails used to be asked again and again: a missing page until the stack was full, an upstream that is
--- down for ever.
local served = require("t.support.served").by

describe("an error handler", function()
    local ask, s = served [[
        local asked = {}
        local function count(name) asked[name] = (asked[name] or 0) + 1 end
        local down = mg.upstream { servers = { "127.0.0.1:1" } }
        app:on_error(404, function(req, err) count "page" return mg.file("no-such-page.html") end)
        app:on_error(502, function(req, err)
            count("upstream:" .. tostring(req.state.user) .. ":" .. tostring(req.id == req.state.id))
            return mg.proxy(down)
        end)
        app:filter("/down", function(req, next)
            req.state.user, req.state.id = "me", req.id
            return next(req)
        end)
        app:proxy("/down", down)
        app:get("/asked", function(req) return asked end)
        app:on_error("later", function(req, err) return 200, "handled" end)
        app:get("/later", function(req) mg.raise("later") end)
    ]]

    it("whose page is missing is asked once, and the log says where it is", function()
        local response = ask("GET", "/nowhere")
        assert.equal(404, response.status)
        assert.matches("^404 Not Found", response.body)
        s.server:wait_log("the answer of the error handler at .-app%.lua:%d+ failed: 404")
        assert.matches('"page":1', ask("GET", "/asked").body)
    end)

    it("whose upstream is down is asked once, with the state and the id of the request", function()
        assert.equal(502, ask("GET", "/down").status)
        assert.matches('"upstream:me:true":1', ask("GET", "/asked").body)
    end)

    it("is asked again by the next request", function()
        for _ = 1, 3 do assert.equal("handled", ask("GET", "/later").body) end
    end)
end)
