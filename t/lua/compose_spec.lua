require("t.support.fake_abi").install()
local apps = require "moongate.app"
local compose = require "moongate.compose"

local function noop() end

local function says(name) return function() return name end end

local function fail(where, message) error(where .. ": " .. message) end

describe("error handlers of a part", function()
    --- Which handler answers an error at a place.
    local function answer(app, host, path, err)
        local handler = app.error_handlers[err.kind] or app.error_handlers[err.status] or app.error_handlers["*"]
        return handler.fn({ host = host, path = path }, err)
    end
    local missing = { kind = "not-found", status = 404 }

    it("are picked by host, then prefix, then kind, status and any", function()
        local app = apps.new()
        app:on_error("not-found", says "site")
        app:group("/api"):on_error("*", says "api")
        app:group("/api/v2"):on_error(404, says "v2")
        app:host("*.a.org"):on_error("not-found", says "a.org")
        app:host("x.a.org"):on_error("not-found", says "x.a.org")
        compose.finish_errors(app)
        assert.equal("site", answer(app, "b.org", "/", missing))
        assert.equal("site", answer(app, "b.org", "/apis", missing))
        assert.equal("api", answer(app, "b.org", "/api", missing))
        assert.equal("api", answer(app, "b.org", "/api/x", missing))
        assert.equal("v2", answer(app, "b.org", "/api/v2/x", missing))
        assert.equal("api", answer(app, "b.org", "/api/v2/x", { kind = "internal-error", status = 500 }))
        assert.equal("a.org", answer(app, "Y.a.org:80", "/", missing))
        assert.equal("x.a.org", answer(app, "x.a.org", "/", missing))
        assert.equal("site", answer(app, "b.org", "/", { status = 404 }))
        assert.equal("api", answer(app, "x.a.org", "/api", { kind = "mine", status = 500 }))
    end)

    it("leave what none of them is for to the built-in answer", function()
        local app = apps.new()
        app:group("/api"):on_error("*", says "api")
        compose.finish_errors(app)
        assert.equal(404, answer(app, "b.org", "/", missing))
    end)

    it("are left as they are when they hold everywhere", function()
        local app = apps.new()
        local own = says "site"
        app:on_error("not-found", own)
        compose.finish_errors(app)
        assert.equal(own, app.error_handlers["not-found"].fn)
    end)
end)

describe("grafting", function()
    it("keeps an app to a host and refuses hosts that lie outside of it", function()
        local whole, part = apps.new(), apps.new()
        part:get("/", noop)
        part:filter(noop)
        part:host("x.a.org"):get("/", noop)
        compose.graft(whole, part, { prefix = "", host = "*.a.org" }, fail)
        assert.same({ "*.a.org", "x.a.org" }, { whole.routes[1].host, whole.routes[2].host })
        assert.equal("*.a.org", whole.filters[1].host)
        assert.is_nil(part.routes[1].host)
        assert.has_error(function() compose.graft(apps.new(), part, { prefix = "", host = "b.org" }, fail) end)
    end)

    it("tells of two fields of one name, and not of the same one twice", function()
        local one, two, told = apps.new(), apps.new(), {}
        one:extend_request("user", noop)
        two:extend_request("user", says "x")
        local whole = apps.new()
        local function tell(_, message) told[#told + 1] = message end
        for _, app in ipairs { one, one, two } do compose.graft(whole, app, { prefix = "" }, tell) end
        assert.equal(1, #told)
        assert.matches("^req.user is already made at .*compose_spec.lua:%d+$", told[1])
    end)
end)

describe("routes that hide each other", function()
    local function duplicates(write)
        local app = apps.new()
        write(app)
        return #compose.duplicates(app.routes)
    end

    it("are those of one host, one shape and a common method", function()
        assert.equal(1, duplicates(function(app) app:get("/:a", noop) app:get("/:b", noop) end))
        assert.equal(1, duplicates(function(app) app:any("/a", noop) app:any("/a", noop) end))
        assert.equal(0, duplicates(function(app) app:get("/a", noop) app:any("/a", noop) end))
        assert.equal(0, duplicates(function(app) app:any("/a", noop) app:get("/a", noop) end))
        assert.equal(2, duplicates(function(app) app:get("/a", noop) app:get("/a", noop) app:get("/%61", noop) end))
    end)

    it("let a predicate go first, wherever it was written", function()
        local app = apps.new()
        local function name(text) return { name = text } end
        app:get("/", name "plain", noop)
        app:get("/b", name "other", noop)
        app:get("/", { when = noop, name = "first" }, noop)
        app:get("/", { when = noop, name = "second" }, noop)
        app:get("/c", { when = noop, name = "alone" }, noop)
        local names = {}
        for at, route in ipairs(compose.order(app.routes)) do names[at] = route.options.name end
        assert.same({ "first", "second", "plain", "other", "alone" }, names)
    end)

    it("are not those with a predicate, another method, host or shape", function()
        assert.equal(0, duplicates(function(app)
            app:get("/a", noop)
            app:get("/a", { when = noop }, noop)
            app:post("/a", noop)
            app:host("a.org"):get("/a", noop)
            app:get("/:a", noop)
            app:get("/*", noop)
            app:get("/a/", noop)
        end))
    end)
end)
