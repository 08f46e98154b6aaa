local route = require "t.support.routes"

local function refused(host)
    local error, text = route.add(route.builder(), { "/", host = host }, 1)
    assert.equal(-22, error)
    return text
end

describe("hosts", function()
    local routes = {
        { "/:x" }, { "/:x", host = "example.org" }, { "/:x", host = "*.example.org" }, { "/:x", host = "*.b.example.org" },
        { "/only", host = "*.org", number = 5 }, { "/:x", host = "[::1]" },
    }

    it("are taken exact, then by the longest wildcard, then any, in all orders of adding", function()
        for at, one in ipairs(routes) do one.number = at end
        route.permutations(routes, function(order)
            local program = route.program(order)
            for host, want in pairs {
                ["example.org"] = 2, ["www.example.org"] = 3, ["a.b.c.example.org"] = 3, ["b.example.org"] = 3,
                ["a.b.example.org"] = 4, ["x.y.b.example.org"] = 4, ["xexample.org"] = 1, ["org"] = 1, ["example.com"] = 1,
                ["[::1]"] = 6, ["[::2]"] = 1, [""] = 1, ["."] = 1, [".example.org"] = 1,
            } do
                assert.equal(want .. " p", route.answer(program, "GET", "/p", host), host)
            end
        end)
    end)

    it("are compared without port, case and last dot", function()
        local program = route.program(routes)
        for _, host in ipairs { "EXAMPLE.org", "example.org:80", "example.org.", "Example.Org.:8080", "example.org:" } do
            assert.equal("2 p", route.answer(program, "GET", "/p", host), host)
        end
        for _, host in ipairs { "[::1]", "[::1]:80", "[::1]:" } do
            assert.equal("6 p", route.answer(program, "GET", "/p", host), host)
        end
        assert.equal("1 p", route.answer(program, "GET", "/p", "[::1"))
        program = route.program { { "/", host = "EXAMPLE.Org." }, { "/", host = "[FE80::A]" } }
        assert.equal("1", route.answer(program, "GET", "/", "example.org"))
        assert.equal("2", route.answer(program, "GET", "/", "[fe80::a]"))
    end)

    it("without a fitting route give way to wider ones, link by link", function()
        local program = route.program {
            { "/a", "GET", host = "w.b.example.org" }, { "/b", host = "*.b.example.org" }, { "/c", host = "*.example.org" },
            { "/:x", "POST" },
        }
        local host = "w.b.example.org"
        assert.equal("1", route.answer(program, "GET", "/a", host))
        assert.equal("2", route.answer(program, "GET", "/b", host))
        assert.equal("3", route.answer(program, "GET", "/c", host))
        assert.equal("4 a", route.answer(program, "POST", "/a", host))
        assert.equal("405 GET,HEAD,POST", route.answer(program, "PUT", "/a", host))
        assert.equal("405 POST", route.answer(program, "PUT", "/a", "other.org"))
        assert.equal("404", route.answer(program, "PUT", "/x/y", host))
    end)

    it("of 253 bytes are found, longer ones are any host", function()
        local long = ("a"):rep(62) .. "." .. ("b"):rep(62) .. "." .. ("c"):rep(62) .. "." .. ("d"):rep(64)
        assert.equal(253, #long)
        local program = route.program { { "/", host = long }, { "/" }, { "/", host = "*." .. ("d"):rep(64) } }
        assert.equal("1", route.answer(program, "GET", "/", long .. "."))
        assert.equal("3", route.answer(program, "GET", "/", "x" .. long:sub(2)))
        assert.equal("2", route.answer(program, "GET", "/", "a" .. long))
        assert.truthy(refused("a" .. long):find("longer than 253 bytes", 1, true))
    end)

    it("are refused with the reason and the place", function()
        for host, want in pairs {
            ["a..b"] = '"a..b", byte 3: a host has no empty label', ["."] = '".", byte 1: a host has no empty label',
            [".a"] = '".a", byte 1: a host has no empty label', ["a:80"] = '"a:80", byte 2: hosts are compared without a port',
            ["*"] = '"*", byte 1: "*" stands only before the first dot, as in "*.example.org"',
            ["a.*.b"] = '"a.*.b", byte 3: "*" stands only before the first dot, as in "*.example.org"',
            ["*a.b"] = '"*a.b", byte 1: "*" stands only before the first dot, as in "*.example.org"',
            ["bücher.de"] = '"bücher.de", byte 2: write the host as it is sent, in its "xn--" form',
            ["a b"] = '"a b", byte 2: not a host name', ["a/b"] = '"a/b", byte 2: not a host name',
            ["[::1"] = '"[::1", byte 1: "[" without "]"', ["[]"] = '"[]", byte 1: not an IPv6 address',
            ["[::x]"] = '"[::x]", byte 4: not an IPv6 address', ["[::1]:80"] = '"[::1]:80", byte 6: hosts are compared without a port',
            ["*."] = '"*", byte 1: "*" stands only before the first dot, as in "*.example.org"',
        } do
            assert.equal(want, refused(host))
        end
    end)
end)
