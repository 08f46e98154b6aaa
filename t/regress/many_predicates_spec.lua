--- Routes that differ by their predicates alone are tried one after the other. A thousand of them used to be more than LuaJIT compiles into
--- one function: the worker did not start.
local served = require("t.support.served").by

describe("predicates", function()
    local ask = served [[
        local function is(n) return function(req) return req.query.n == tostring(n) end end
        for n = 1, 3000 do app:get("/one/:id", { when = is(n) }, function(req) return "one " .. n .. req.params.id end) end
        app:get("/one/*rest", function(req) return "the next candidate " .. req.params.rest end)
        for at = 1, 300 do
            for n = 1, 7 do app:get("/many/" .. at, { when = is(n), body = n * 10 }, function(req) return at .. " " .. n end) end
            app:get("/many/" .. at, function(req) return at .. " else" end)
        end
        for n = 1, 8 do app:get("/eight", { when = is(n) }, function(req) return "eight " .. n end) end
        app:get("/eight", function(req) return "the ninth" end)
    ]]

    it("of thousands of routes at one path are tried in order", function()
        for _, n in ipairs { 1, 4, 5, 8, 64, 2999, 3000 } do assert.equal("one " .. n .. "x", ask("GET", "/one/x?n=" .. n).body) end
        assert.equal("the next candidate x", ask("GET", "/one/x?n=3001").body)
    end)

    it("of a few routes at hundreds of paths are tried in order", function()
        for _, at in ipairs { 1, 63, 64, 65, 300 } do
            for _, n in ipairs { 1, 7 } do assert.equal(at .. " " .. n, ask("GET", ("/many/%d?n=%d"):format(at, n)).body) end
            assert.equal(at .. " else", ask("GET", ("/many/%d"):format(at)).body)
        end
    end)

    it("leave the last route of a group to those that none took", function()
        assert.equal("eight 8", ask("GET", "/eight?n=8").body)
        assert.equal("the ninth", ask("GET", "/eight").body)
        assert.equal(404, ask("GET", "/nowhere").status)
    end)
end)
