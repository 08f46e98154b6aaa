local pattern = require "moongate.pattern"

describe("a pattern", function()
    it("names its captures in order", function()
        assert.same({}, pattern.names("/"))
        assert.same({ "id", "post" }, pattern.names("/users/:id/posts/:post"))
        assert.same({ "id", "path" }, pattern.names("/users/:id/*path"))
        assert.same({ "*" }, pattern.names("/*"))
        assert.same({}, pattern.names("/a:b/c*"))
    end)

    it("has the shape of those that match the same paths", function()
        assert.equal(pattern.shape("/users/:id/*"), pattern.shape("/users/:name/*rest"))
        assert.equal(pattern.shape("/%7euser/%2f"), pattern.shape("/~user/%2F"))
        assert.not_equal(pattern.shape("/a%2Fb"), pattern.shape("/a/b"))
        assert.not_equal(pattern.shape("/users"), pattern.shape("/users/"))
    end)

    it("covers all, some or none of a route's paths", function()
        for _, case in ipairs {
            { "/*", "/", "always" }, { "/*", "/a/b", "always" }, { "/*", "/*", "always" },
            { "/admin/*", "/admin", "never" }, { "/admin/*", "/admin/", "always" }, { "/admin/*", "/admin/:id", "always" },
            { "/admin/*", "/*", "sometimes" }, { "/admin/*", "/:any/x", "sometimes" }, { "/admin/*", "/:any", "never" },
            { "/users/:id", "/users/me", "always" }, { "/users/me", "/users/:id", "sometimes" },
            { "/users/:id", "/users/", "never" }, { "/users/", "/users/:id", "never" }, { "/a", "/b", "never" },
            { "/a", "/a/b", "never" }, { "/a/:x", "/a/*", "sometimes" }, { "/a/b", "/b/*", "never" },
        } do
            assert.equal(case[3], pattern.relation(case[1], case[2]), case[1] .. " over " .. case[2])
        end
    end)

    it("covers hosts the same way", function()
        local function relation(filter, route)
            return pattern.covers({ host = filter, pattern = "/*" }, { host = route, pattern = "/x" })
        end
        assert.equal("always", relation(nil, "a.org"))
        assert.equal("sometimes", relation("a.org", nil))
        assert.equal("always", relation("*.a.org", "x.a.org"))
        assert.equal("always", relation("*.a.org", "*.b.a.org"))
        assert.equal("sometimes", relation("x.a.org", "*.a.org"))
        assert.equal("never", relation("*.a.org", "a.org"))
        assert.equal("never", relation("*.a.org", "xa.org"))
    end)

    it("takes host names in lower case and refuses what no request can name", function()
        assert.equal("example.org", pattern.host("Example.ORG."))
        assert.equal("*.example.org", pattern.host("*.example.org"))
        assert.equal("[::1]", pattern.host("[::1]"))
        for _, bad in ipairs { "", "a b", "a.*.org", "*", "*.", "a..b", ".a", "a:80", "[::1]:80", "a/b", ("a"):rep(254), 7 } do
            local host, message = pattern.host(bad)
            assert.is_nil(host, tostring(bad))
            assert.matches("host", message)
        end
        assert.equal(253, #pattern.host(("a"):rep(253)))
    end)
end)
