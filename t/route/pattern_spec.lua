local route = require "t.support.routes"

local EINVAL, EEXIST = -22, -17

describe("a pattern", function()
    it("may be any of these", function()
        for _, pattern in ipairs {
            "/", "//", "/a", "/a/", "/:a", "/:_", "/:a1/:A1", "/:ab/:a/:abc", "/*", "/*rest", "/a/:b/*c", "/a:b", "/a%2Fb", "/é", "/a b", "/...",
            "/{a}", "/.well-known/x", "/~user", "/%3Ax", "/%2A", "/a;b=c,d@e!$&'()+",
        } do
            assert.equal(0, (route.check(pattern)), pattern)
        end
    end)

    it("is refused with the reason and the place", function()
        for pattern, want in pairs {
            [""] = '"", byte 1: a pattern begins with "/"', ["a/b"] = '"a/b", byte 1: a pattern begins with "/"',
            ["*"] = '"*", byte 1: a pattern begins with "/"',
            ["/:"] = '"/:", byte 2: a parameter needs a name after ":"', ["/a/:/b"] = '"/a/:/b", byte 4: a parameter needs a name after ":"',
            ["/:a/:a"] = '"/:a/:a", byte 6: the name "a" is used twice', ["/:a/*a"] = '"/:a/*a", byte 6: the name "a" is used twice',
            ["/:9"] = '"/:9", byte 3: a name begins with a letter or "_"', ["/:-"] = '"/:-", byte 3: a name begins with a letter or "_"',
            ["/*9"] = '"/*9", byte 3: a name begins with a letter or "_"',
            ["/:id.json"] = '"/:id.json", byte 5: a parameter spans a whole segment: nothing may follow its name',
            ["/:a:b"] = '"/:a:b", byte 4: a parameter spans a whole segment: nothing may follow its name',
            ["/*a-b"] = '"/*a-b", byte 4: a wildcard spans a whole segment: nothing may follow its name',
            ["/**"] = '"/**", byte 3: a name begins with a letter or "_"',
            ["/*a/b"] = '"/*a/b", byte 2: a wildcard must be the last segment', ["/*/"] = '"/*/", byte 2: a wildcard must be the last segment',
            ["/a*"] = '"/a*", byte 3: a wildcard spans a whole segment; the character itself is written "%2A"',
            ["/a?b"] = '"/a?b", byte 3: "?": queries and fragments are not matched',
            ["/:id?"] = '"/:id?", byte 5: "?": queries and fragments are not matched',
            ["/a#b"] = '"/a#b", byte 3: "#": queries and fragments are not matched',
            ["/a\nb"] = '"/a\nb", byte 3: a control character (0x0A)', ["/\127"] = '"/\127", byte 2: a control character (0x7F)',
            ["/%zz"] = '"/%zz", byte 2: "%" must be followed by two hexadecimal digits',
            ["/ab%2"] = '"/ab%2", byte 4: "%" must be followed by two hexadecimal digits',
            ["/%/20"] = '"/%/20", byte 2: "%" must be followed by two hexadecimal digits',
            ["/%00"] = '"/%00", byte 2: "%00" cannot stand in a path',
            ["/a/.."] = '"/a/..", byte 4: no path has a segment "..": it is resolved before matching',
            ["/./a"] = '"/./a", byte 2: no path has a segment ".": it is resolved before matching',
            ["/%2e%2E"] = '"/%2e%2E", byte 2: no path has a segment "..": it is resolved before matching',
        } do
            local error, text = route.check(pattern)
            assert.equal(EINVAL, error, pattern)
            assert.equal(want, text)
            error, text = route.add(route.builder(), { pattern }, 1)
            assert.equal(EINVAL, error, pattern)
            assert.equal(want, text)
        end
    end)

    it("has 4096 bytes at most", function()
        assert.equal(0, (route.check("/" .. ("x"):rep(4095))))
        local error, text = route.check("/" .. ("x"):rep(4096))
        assert.equal(EINVAL, error)
        assert.equal('"/' .. ("x"):rep(59) .. '...", byte 4097: longer than 4096 bytes', text)
    end)

    it("has 4096 bytes at most also when each of them is escaped", function()
        local program = route.program { { "/" .. ("\255"):rep(4095) } }
        assert.equal("1", route.answer(program, "GET", "/" .. ("%FF"):rep(4095)))
        assert.equal("404", route.answer(program, "GET", "/" .. ("%FF"):rep(4094)))
        program = route.program { { "/" .. ("{"):rep(4095) } }
        assert.equal("1", route.answer(program, "GET", "/" .. ("{"):rep(4095)))
        assert.equal("1", route.answer(program, "GET", "/" .. ("%7B"):rep(4095)))
    end)

    it("has 16 captures at most", function()
        local names = {}
        for i = 1, 17 do names[i] = "/:p" .. i end
        local values = ("/v"):rep(16)
        local program = route.program { { table.concat(names, "", 1, 16) } }
        assert.equal(16, #route.match(program, "GET", values).captures)
        local error, text = route.check(table.concat(names))
        assert.equal(EINVAL, error)
        assert.truthy(text:find("more than 16 captures", 1, true))
        assert.equal(EINVAL, (route.check(table.concat(names, "", 1, 16) .. "/*")))
    end)

    it("has 128 segments at most", function()
        local program = route.program { { ("/x"):rep(127) .. "/:y" } }
        assert.equal("1 z", route.answer(program, "GET", ("/x"):rep(127) .. "/z"))
        local error, text = route.check(("/x"):rep(129))
        assert.equal(EINVAL, error)
        assert.truthy(text:find("more than 128 segments", 1, true))
    end)

    it("is explained within the room there is for the message", function()
        local ffi = require "ffi"
        local text = ffi.new("char[8]", { 1, 1, 1, 1, 1, 1, 1, 1 })
        assert.equal(EINVAL, route.lib.route_pattern_check("a", 1, text, 4))
        assert.equal('"a"', ffi.string(text))
        assert.equal(1, text[4])
        assert.equal(EINVAL, route.lib.route_pattern_check("a", 1, text, 0))
    end)
end)

describe("a conflict", function()
    local function second(first, other)
        local builder = route.builder()
        assert.equal(0, (route.add(builder, first, 7)))
        local error, text, number = route.add(builder, other, 8)
        return error, text, number
    end

    it("is the same host, shape and an overlapping method", function()
        for _, pair in ipairs {
            { { "/a" }, { "/a" } }, { { "/:a", "GET" }, { "/:b", "GET" } }, { { "/:a/*x", "GET,POST" }, { "/:b/*", "POST,PUT" } },
            { { "/%7ea" }, { "/~a" } }, { { "/a%2fb" }, { "/a%2Fb" } }, { { "/é" }, { "/%c3%A9" } }, { { "/{" }, { "/%7b" } },
            { { "/", host = "A.org" }, { "/", host = "a.org." } }, { { "/", host = "*.a.org" }, { "/", host = "*.A.org" } },
        } do
            local error, text, number = second(pair[1], pair[2])
            assert.equal(EEXIST, error, pair[2][1])
            assert.equal("route 7 answers the same host, shape and method", text)
            assert.equal(7, number)
        end
    end)

    it("is not a different host, shape or method, nor any method beside some", function()
        for _, pair in ipairs {
            { { "/a" }, { "/a/" } }, { { "/:a" }, { "/*a" } }, { { "/a" }, { "/:a" } }, { { "/a", "GET" }, { "/a", "HEAD" } },
            { { "/a", "GET" }, { "/a", "POST" } }, { { "/a" }, { "/a", "GET" } }, { { "/a", "GET" }, { "/a" } },
            { { "/a%2fb" }, { "/a/b" } }, { { "/" }, { "/", host = "a.org" } }, { { "/", host = "a.org" }, { "/", host = "*.a.org" } },
        } do
            assert.equal(0, (second(pair[1], pair[2])), pair[1][1] .. " " .. pair[2][1])
        end
    end)

    it("leaves the builder as it was", function()
        local builder = route.builder()
        assert.equal(0, (route.add(builder, { "/a", "GET" }, 1)))
        assert.equal(EEXIST, (route.add(builder, { "/a", "GET,POST" }, 2)))
        assert.equal(0, (route.add(builder, { "/a", "POST" }, 3)))
        local program = route.compile(builder)
        assert.equal("1", route.answer(program, "GET", "/a"))
        assert.equal("3", route.answer(program, "POST", "/a"))
    end)
end)

describe("adding", function()
    it("refuses no method and a negative number", function()
        local error, text = route.add(route.builder(), { "/", "" }, 1)
        assert.same({ EINVAL, "no method" }, { error, text })
        error, text = route.add(route.builder(), { "/" }, -1)
        assert.same({ EINVAL, "a route number is not negative" }, { error, text })
    end)
end)
