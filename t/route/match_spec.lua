local ffi = require "ffi"
local route = require "t.support.routes"

--- Both ways of compiling must answer alike: routes in any order give the same program, as far as requests can see.
local function in_all_orders(routes, check)
    for at, one in ipairs(routes) do one.number = at end
    route.permutations(routes, function(order) check(route.program(order)) end)
end

describe("the two methods that routing knows", function()
    it("have the numbers of http/message.h", function()
        assert.equal(tonumber(ffi.C.METHOD_GET), tonumber(ffi.C.ROUTE_METHOD_GET))
        assert.equal(tonumber(ffi.C.METHOD_HEAD), tonumber(ffi.C.ROUTE_METHOD_HEAD))
    end)
end)

describe("the ancestors' table of routes", function()
    local cases = {
        { "GET", "/", "1" }, { "POST", "/", "1" }, { "OTHER", "/", "1" },
        { "GET", "/test", "2" }, { "HEAD", "/test", "2" },
        { "POST", "/hi/jane", "3 jane" }, { "DELETE", "/hi/jane", "3 jane" },
        { "PATCH", "/lets/go", "4 lets go" }, { "PATCH", "/hi/jane", "4 hi jane" },
        { "PATCH", "/lets", "5" },
        { "POST", "/test", "405 GET,HEAD" }, { "GET", "/test/", "404" },
        { "GET", "/hi/jane", "405 POST,DELETE,PATCH" }, { "POST", "/hi/jane/", "404" }, { "POST", "/hi/", "404" },
        { "POST", "/hi//", "404" }, { "GET", "/abc", "404" }, { "PATCH", "//dance", "404" }, { "POST", "/hi", "404" },
    }
    it("answers the same in all orders of adding", function()
        in_all_orders({
            { "/" }, { "/test", "GET" }, { "/hi/:there", "POST,DELETE" }, { "/:oh/:dear", "PATCH" }, { "/lets", "PATCH" },
        }, function(program)
            for _, case in ipairs(cases) do
                assert.equal(case[3], route.answer(program, case[1], case[2]), case[1] .. " " .. case[2])
            end
        end)
    end)
end)

describe("precedence", function()
    it("is literal, parameter, wildcard, segment by segment", function()
        in_all_orders({ { "/a/b/c" }, { "/a/:x/c" }, { "/a/*rest" }, { "/:y/b/c" }, { "/*" } }, function(program)
            for path, want in pairs {
                ["/a/b/c"] = "1", ["/a/x/c"] = "2 x", ["/a/b/d"] = "3 b/d", ["/a/"] = "3 ", ["/x/b/c"] = "4 x",
                ["/x/b/d"] = "5 x/b/d", ["/a"] = "5 a", ["/"] = "5 ", ["//"] = "5 /",
            } do
                assert.equal(want, route.answer(program, "GET", path), path)
            end
        end)
    end)

    it("prefers the earlier literal, whatever follows", function()
        local program = route.program { { "/a/:x/*" }, { "/:y/b/c" } }
        assert.equal("1 b c", route.answer(program, "GET", "/a/b/c"))
        assert.equal("2 x", route.answer(program, "GET", "/x/b/c"))
        assert.equal("404", route.answer(program, "GET", "/x/b/d"))
    end)

    it("comes back out of ways that end", function()
        local program = route.program { { "/a/b/c/d" }, { "/a/b/:x/e" }, { "/a/:x/c/f" }, { "/:x/b/c/g" }, { "/a/*" } }
        assert.equal("1", route.answer(program, "GET", "/a/b/c/d"))
        assert.equal("2 c", route.answer(program, "GET", "/a/b/c/e"))
        assert.equal("3 b", route.answer(program, "GET", "/a/b/c/f"))
        assert.equal("5 b/c/g", route.answer(program, "GET", "/a/b/c/g"))
        assert.equal("4 x", route.answer(program, "GET", "/x/b/c/g"))
    end)

    it("counts the method in: the next pattern that has it is taken", function()
        local program = route.program { { "/a/b", "GET" }, { "/a/:x", "POST" }, { "/*", "PUT" } }
        assert.equal("1", route.answer(program, "GET", "/a/b"))
        assert.equal("2 b", route.answer(program, "POST", "/a/b"))
        assert.equal("3 a/b", route.answer(program, "PUT", "/a/b"))
        assert.equal("405 GET,HEAD,POST,PUT", route.answer(program, "DELETE", "/a/b"))
        assert.equal("405 PUT", route.answer(program, "DELETE", "/x"))
    end)
end)

describe("a segment", function()
    it("is compared whole, at every length", function()
        for length = 1, 40 do
            local text = ("abcdefghij"):rep(4):sub(1, length)
            local program = route.program { { "/" .. text }, { "/" .. text .. "/:x" }, { "/p/" .. text .. "/q" } }
            assert.equal("1", route.answer(program, "GET", "/" .. text))
            assert.equal("2 y", route.answer(program, "GET", "/" .. text .. "/y"))
            assert.equal("3", route.answer(program, "GET", "/p/" .. text .. "/q"))
            for at = 1, length do
                local changed = text:sub(1, at - 1) .. "Z" .. text:sub(at + 1)
                assert.equal("404", route.answer(program, "GET", "/" .. changed))
                assert.equal("404", route.answer(program, "GET", "/" .. changed .. "/y"))
                assert.equal("404", route.answer(program, "GET", "/p/" .. changed .. "/q"))
            end
            assert.equal("404", route.answer(program, "GET", "/" .. text .. "Z"))
            assert.equal("404", route.answer(program, "GET", "/" .. text:sub(2)))
        end
    end)

    it("is captured whole, at every length and place", function()
        local program = route.program { { "/:a" }, { "/:a/:b" }, { "/:a/:b/" }, { "/:a/:b/x/*c" } }
        for a = 1, 18 do
            for b = 1, 18 do
                local one, two = ("a"):rep(a), ("b"):rep(b)
                assert.equal("2 " .. one .. " " .. two, route.answer(program, "GET", "/" .. one .. "/" .. two))
                assert.equal("3 " .. one .. " " .. two, route.answer(program, "GET", "/" .. one .. "/" .. two .. "/"))
                assert.equal("4 " .. one .. " " .. two .. " //", route.answer(program, "GET", "/" .. one .. "/" .. two .. "/x///"))
            end
        end
    end)

    it("is never empty as a parameter, and counts when it is empty as a literal", function()
        local program = route.program { { "/:a/x" }, { "//x" }, { "/x/" }, { "/x" }, { "/x//" } }
        assert.equal("2", route.answer(program, "GET", "//x"))
        assert.equal("3", route.answer(program, "GET", "/x/"))
        assert.equal("4", route.answer(program, "GET", "/x"))
        assert.equal("5", route.answer(program, "GET", "/x//"))
        assert.equal("404", route.answer(program, "GET", "/x///"))
    end)

    it("matches in the form that normalised paths have", function()
        local program = route.program { { "/é" }, { "/a%2fb" }, { "/a b" }, { "/%7Euser/%41" }, { "/{id}|" }, { "/%3ax" }, { "/x%2a" } }
        for path, want in pairs {
            ["/%C3%A9"] = "1", ["/a%2Fb"] = "2", ["/a/b"] = "404", ["/a%20b"] = "3", ["/~user/A"] = "4",
            ["/{id}|"] = "5", ["/%7Bid%7D%7C"] = "5", ["/:x"] = "6", ["/%3Ax"] = "6", ["/x*"] = "7", ["/x%2A"] = "7",
        } do
            assert.equal(want, route.answer(program, "GET", path), path)
        end
    end)

    it("may hold a colon behind its first character, raw or escaped, which are two", function()
        local program = route.program { { "/a:b" }, { "/a%3Ab" } }
        assert.equal("1", route.answer(program, "GET", "/a:b"))
        assert.equal("2", route.answer(program, "GET", "/a%3Ab"))
        assert.equal("404", route.answer(program, "GET", "/ab"))
        assert.equal("404", route.answer(route.program { { "/a%3Ab" } }, "GET", "/a:b"))
    end)

    it("that looks like a capture is captured", function()
        local program = route.program { { "/:x/b" }, { "/c/*" }, { "/c/d" } }
        assert.equal("1 :", route.answer(program, "GET", "/:/b"))
        assert.equal("2 *", route.answer(program, "GET", "/c/*"))
    end)
end)

describe("a lookup", function()
    --- How many different marks (hash bits and length) the edges of the root have.
    local function marks_of_root(program)
        local edges = ffi.cast("const struct route_edge *", ffi.cast("const char *", program) + program.edges_at)
        local count, seen = 0, {}
        for slot = 0, program.edge_slots - 1 do
            if edges[slot].parent == 0 and not seen[edges[slot].mark] then
                count, seen[edges[slot].mark] = count + 1, true
            end
        end
        return count
    end

    -- Pairs that were searched for: the first differ in two whole words, the second in a last word that is not full.
    for _, pair in ipairs { { "segments-hashed-", "quskz7f2gmjHr=27" }, { "fbb3bsr", "n6bz3iw" } } do
        it(("tells %s from %s, which have one hash"):format(pair[1], pair[2]), function()
            local one, two = pair[1], pair[2]
            local both = route.program { { "/" .. one .. "/:x" }, { "/" .. two .. "/:x" } }
            assert.equal(1, marks_of_root(both)) -- else the hash has changed: search again
            assert.equal("1 y", route.answer(both, "GET", "/" .. one .. "/y"))
            assert.equal("2 y", route.answer(both, "GET", "/" .. two .. "/y"))
            assert.equal("404", route.answer(route.program { { "/" .. one .. "/:x" } }, "GET", "/" .. two .. "/y"))
            assert.equal("404", route.answer(route.program { { "/" .. two .. "/:x" } }, "GET", "/" .. one .. "/y"))
        end)
    end
end)

describe("HEAD", function()
    it("follows GET, unless the same pattern has a route of its own", function()
        in_all_orders({ { "/a", "GET" }, { "/b", "GET" }, { "/b", "HEAD" }, { "/:x", "HEAD" } }, function(program)
            assert.equal("1", route.answer(program, "HEAD", "/a"))
            assert.equal("3", route.answer(program, "HEAD", "/b"))
            assert.equal("2", route.answer(program, "GET", "/b"))
            assert.equal("2", route.answer(program, "HEAD", "/b", nil, 1))
            assert.equal("4 a", route.answer(program, "HEAD", "/a", nil, 1))
        end)
    end)

    it("is allowed where GET is", function()
        assert.equal("405 GET,HEAD", route.answer(route.program { { "/a", "GET" } }, "POST", "/a"))
        assert.equal("405 HEAD", route.answer(route.program { { "/a", "HEAD" } }, "GET", "/a"))
    end)
end)

describe("any method", function()
    it("stands behind a route that names the method, and takes unknown ones", function()
        in_all_orders({ { "/a" }, { "/a", "GET" }, { "/a", "POST" } }, function(program)
            assert.equal("2", route.answer(program, "GET", "/a"))
            assert.equal("2", route.answer(program, "HEAD", "/a"))
            assert.equal("3", route.answer(program, "POST", "/a"))
            assert.equal("1", route.answer(program, "PUT", "/a"))
            assert.equal("1", route.answer(program, "OTHER", "/a"))
        end)
    end)

    it("is not what a list of methods is", function()
        local program = route.program { { "/a", "GET,POST,PUT,DELETE,PATCH,OPTIONS,HEAD" } }
        assert.equal("405 GET,HEAD,POST,PUT,DELETE,PATCH,OPTIONS", route.answer(program, "OTHER", "/a"))
    end)
end)

describe("skipping", function()
    it("goes through all candidates in order and then ends", function()
        in_all_orders({
            { "/a/b", "GET" }, { "/a/b" }, { "/a/:x", "GET,POST" }, { "/a/*" }, { "/:x/b" }, { "/*", "GET" },
            { "/*", host = "*.example.org" },
        }, function(program)
            local seen = {}
            for skip = 0, 7 do seen[#seen + 1] = route.answer(program, "GET", "/a/b", "www.example.org", skip) end
            assert.same({ "7 a/b", "1", "2", "3 b", "4 b", "5 a", "6 a/b", "405 *" }, seen)
        end)
    end)

    it("passes over no route of another method", function()
        local program = route.program { { "/a", "POST" }, { "/:x", "GET" } }
        assert.equal("2 a", route.answer(program, "GET", "/a", nil, 0))
        assert.equal("405 GET,HEAD,POST", route.answer(program, "GET", "/a", nil, 1))
    end)
end)

describe("a path", function()
    it("that does not begin with a slash fits nothing", function()
        local program = route.program { { "/*" } }
        for _, path in ipairs { "", "*", "a", "a/b" } do assert.equal("404", route.answer(program, "GET", path)) end
    end)

    it("may have 65535 bytes and no more", function()
        local program = route.program { { "/:x" }, { "/:x/*" } }
        assert.equal(65534, #route.match(program, "GET", "/" .. ("x"):rep(65534)).captures[1])
        assert.equal(65532, #route.match(program, "GET", "/x/" .. ("y"):rep(65532)).captures[2])
        assert.equal("404", route.answer(program, "GET", "/" .. ("x"):rep(65535)))
    end)
end)

describe("an empty program", function()
    it("answers nothing and has a size", function()
        local program = route.program {}
        assert.equal("404", route.answer(program, "GET", "/"))
        assert.equal(tonumber(program.bytes), route.lib.route_program_bytes(program))
    end)
end)
