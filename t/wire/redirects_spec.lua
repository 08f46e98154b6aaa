--- Redirects over the wire: captures, the query, statuses, and what cannot be slipped into Location.
local served = require("t.support.served").by

describe("a redirect", function()
    local ask = served [[
        app:redirect("/old", "/new", 301)
        app:redirect("/moved/:id/*rest", "/to/:id/and/*rest", 308)
        app:redirect("/swap/:a/:b", "/:b/:a")
        app:redirect("/away/*", "https://example.org/base/*", 307)
        app:redirect("/query", "/new?fixed=1#part", 303)
        app:redirect("/no/query", "/new", 302, { keep_query = false })
        app:redirect("/beta", "/new/beta", { when = function(req) return req.headers["x-beta"] end })
        app:get("/beta", function(req) return "old beta" end)
        app:get("/new", function(req) return "new" end)
        app:get("/here/:id", mg.redirect("/there"))
    ]]

    local function to(target, fields, method)
        local response = ask(method or "GET", target, fields, method == "POST" and "x" or nil)
        return response.status .. " " .. tostring(response:get("location"))
    end

    it("has its status, its place and no body, for every method", function()
        assert.equal("301 /new", to("/old"))
        assert.equal("301 /new", to("/old", nil, "POST"))
        assert.equal("301 /new", to("/old", nil, "HEAD"))
        assert.equal("", ask("GET", "/old").body)
        assert.equal("302 /there", to("/here/7"))
    end)

    it("carries captures as they came", function()
        assert.equal("308 /to/7/and/x/y", to("/moved/7/x/y"))
        assert.equal("308 /to/a%2Fb/and/c%20d", to("/moved/a%2Fb/c%20d"))
        assert.equal("302 /2/1", to("/swap/1/2"))
        assert.equal("302 /:a/x", to("/swap/x/:a"))
        assert.equal("307 https://example.org/base/p/q?r=1", to("/away/p/q?r=1"))
        assert.equal("307 https://example.org/base/", to("/away/"))
    end)

    it("carries the query, before a fragment and after a query of its own, unless told not to", function()
        assert.equal("301 /new?a=1&b=%20", to("/old?a=1&b=%20"))
        assert.equal("303 /new?fixed=1&a=2#part", to("/query?a=2"))
        assert.equal("303 /new?fixed=1#part", to("/query"))
        assert.equal("302 /new", to("/no/query?a=1"))
    end)

    it("gives way by a predicate", function()
        assert.equal("302 /new/beta", to("/beta", { ["x-beta"] = "1" }))
        assert.equal("old beta", ask("GET", "/beta").body)
    end)

    it("cannot be made to send more than one field", function()
        assert.equal(400, ask("GET", "/moved/7/%00").status)
        for _, bad in ipairs { "%0d%0aX-Evil:%201", "%0aX-Evil:1", "%0d" } do
            local response = ask("GET", "/moved/7/" .. bad .. "?q=" .. bad)
            assert.equal(308, response.status)
            local path = bad:gsub("%%%x%x", string.upper) -- as the path is normalised
            assert.equal("/to/7/and/" .. path .. "?q=" .. bad, response:get("location"))
            assert.is_nil(response:get("x-evil"))
        end
    end)
end)
