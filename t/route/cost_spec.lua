local route = require "t.support.routes"

local function steps_of(program, path, method)
    local _, steps = route.match(program, method or "GET", path)
    return steps
end

--- All patterns of `depth` segments that are each ":p" or "a", behind `first`.
local function all_mixed(first, depth)
    local list = {}
    for bits = 0, 2 ^ depth - 1 do
        local parts = {}
        for i = 1, depth do parts[i] = math.floor(bits / 2 ^ (i - 1)) % 2 == 1 and ":p" .. i or "a" end
        list[#list + 1] = { first .. "/" .. table.concat(parts, "/"), "POST" }
    end
    return list
end

describe("the cost of a match", function()
    it("is one lookup for a path without captures", function()
        local program = route.program { { "/a/b" }, { "/:x/b" }, { "/*" } }
        assert.equal(0, steps_of(program, "/a/b"))
        assert.equal(3, steps_of(program, "/c/b"))
    end)

    it("grows with the segments, not with the routes", function()
        local one, many = { { "/r1/:id/x" } }, {}
        for i = 1, 10000 do many[i] = { ("/r%d/:id/x"):format(i) } end
        assert.equal(4, steps_of(route.program(one), "/r1/7/x"))
        assert.equal(4, steps_of(route.program(many), "/r10000/7/x"))
        assert.equal(4, route.program(many).steps_max)
    end)

    it("does not grow with what a client adds to a path", function()
        local program = route.program { { "/:a/:b/:c/x" }, { "/a/:b/:c/y" }, { "/a/a/:c/z" }, { "/:a/a/*" , "POST" } }
        local bound = program.steps_max
        for count = 1, 2000, 37 do
            assert.is_true(steps_of(program, ("/a"):rep(count)) <= bound)
            assert.is_true(steps_of(program, ("/"):rep(count)) <= bound)
        end
        assert.is_true(bound <= 16)
    end)

    it("is known beforehand, and the worst path reaches it", function()
        for depth = 1, 8 do
            local program = route.program(all_mixed("", depth))
            assert.equal(2 ^ (depth + 1) - 1, program.steps_max)
            assert.equal(program.steps_max, steps_of(program, ("/a"):rep(depth)))
        end
    end)

    it("has a limit: the route that would pass it is refused, the others stay", function()
        local builder, refused, first = route.builder(), 0, nil
        for number, one in ipairs(all_mixed("", 10)) do
            local error, text = route.add(builder, one, number)
            if error ~= 0 then
                refused = refused + 1
                first = first or text
                assert.equal(-22, error)
            end
        end
        assert.is_true(refused > 0)
        assert.equal("one path could fit more than 1024 partial patterns of this host: use fewer parameters beside literal segments", first)
        assert.equal(0, (route.add(builder, { "/plain" }, 5000)))
        local program = route.compile(builder)
        assert.equal("5000", route.answer(program, "GET", "/plain"))
        assert.is_true(program.steps_max > 1000 and program.steps_max <= 1024)
        assert.is_true(steps_of(program, ("/a"):rep(10)) <= 1024)
    end)

    it("sums over the hosts that may be tried", function()
        local program = route.program { { "/:x", host = "w.a.b" }, { "/:x", host = "*.a.b" }, { "/:x", host = "*.b" }, { "/:x" } }
        assert.equal(8, program.steps_max)
        local _, steps = route.match(program, "GET", "/", "w.a.b")
        assert.equal(4, steps)
        _, steps = route.match(program, "GET", "/p", "w.a.b", 4)
        assert.equal(8, steps)
    end)
end)

describe("a program of 10,000 routes", function()
    local ffi = require "ffi"
    local routes = {}
    for i = 1, 10000 do
        routes[i] = { i % 2 == 0 and ("/api/resource%d/items"):format(i) or ("/v%d/:id/part/:part"):format(i) }
    end
    local program = route.program(routes)

    it("finds each", function()
        for i = 1, 10000 do
            local path = i % 2 == 0 and ("/api/resource%d/items"):format(i) or ("/v%d/x/part/y"):format(i)
            assert.equal(i, route.match(program, "GET", path).route)
        end
    end)

    it("keeps the runs in its table short, so that no lookup is long", function()
        local edges = ffi.cast("const struct route_edge *", ffi.cast("const char *", program) + program.edges_at)
        local longest, run = 0, 0
        for slot = 0, program.edge_slots - 1 do
            run = edges[slot].parent == ffi.C.EDGE_EMPTY and 0 or run + 1
            longest = math.max(longest, run)
        end
        assert.is_true(longest > 0 and longest <= 40, longest .. " slots in a row")
    end)

    it("takes less than 256 bytes for each", function()
        assert.is_true(route.lib.route_program_bytes(program) < 256 * 10000)
    end)
end)
