local near = require "moongate.near"

local ROUTES = {}
for at, pattern in ipairs { "/", "/users/:id", "/users/:id/posts", "/health", "/files/*", "/:anything", "/users/new", "/health" } do
    ROUTES[at] = { pattern = pattern, number = at }
end

local function patterns(path, most)
    local list = {}
    for at, route in ipairs(near.routes(ROUTES, path, most or 3)) do list[at] = route.pattern end
    return list
end

describe("routes near a path", function()
    it("are those with a letter wrong, the best first", function()
        assert.equal("/health", patterns("/helth")[1])
        assert.equal("/users/:id", patterns("/user/7")[1])
        assert.equal("/users/:id/posts", patterns("/users/7/post")[1])
        assert.equal("/files/*", patterns("/file/a/b/c")[1])
        assert.equal("/users/new", patterns("/user/new")[1])
    end)

    it("are none when nothing is alike, and never those that take anything", function()
        assert.same({}, patterns("/zzzzzzzz"))
        assert.same({}, patterns("/qqqq/wwww/eeee/rrrr"))
        for _, path in ipairs { "/helth", "/", "/usr" } do
            for _, pattern in ipairs(patterns(path, 10)) do assert.not_equal("/:anything", pattern) end
        end
    end)

    it("are each told once, and no more than asked for", function()
        assert.same({ "/health" }, patterns("/healthy"))
        assert.equal(1, #patterns("/users", 1))
        assert.is_true(#patterns("/users/a/posts", 2) <= 2)
    end)

    it("are looked for in a bounded part of a path", function()
        local since = os.clock()
        near.routes(ROUTES, ("/" .. ("a"):rep(5000)):rep(10), 3)
        near.routes(ROUTES, ("/a"):rep(20000), 3)
        assert.is_true(os.clock() - since < 0.2)
    end)
end)
