--- Errors that could not be said as they were given used to leave their request without any answer.
local served = require("t.support.served").by

describe("an error is answered", function()
    local ask = served([[
        for name, code in pairs { low = 42, system = -28, high = 700, nan = 0 / 0, fraction = 404.5 } do
            app:get("/code/" .. name, function(req) return nil, "no such thing", code end)
        end
        local function wide(req, next)
            local res = next(req)
            for n = 1, 3 do res.headers["x-" .. n] = ("y"):rep(7000) end
            return res
        end
        app:filter("/wide/*", wide)
        app:get("/wide/missing", function(req) return nil, "nothing", 404 end)
        app:redirect("/wide/moved", "/elsewhere")
        app:files("/wide/files/*", ".")
        app:filter("/strange", function(req, next)
            local res = next(req)
            res.status = 700
            return res
        end)
        app:get("/strange", function(req) return nil, "nothing", 404 end)
    ]], { files = { ["folder/x"] = "" } })

    for _, name in ipairs { "low", "system", "high", "nan", "fraction" } do
        it("when its code is no status: " .. name, function() assert.equal(500, ask("GET", "/code/" .. name).status) end)
    end

    it("when filters set more fields than there is room for", function()
        assert.equal(500, ask("GET", "/wide/missing").status)
        assert.equal(500, ask("GET", "/wide/moved").status)
        assert.equal(500, ask("GET", "/wide/files/folder").status)
        assert.equal(500, ask("GET", "/wide/files/app.lua").status)
    end)

    it("when a filter gives it a status that there is not", function() assert.equal(500, ask("GET", "/strange").status) end)
end)
