require("t.support.fake_abi").install()
local apps = require "moongate.app"
local upstream = require "moongate.upstream"

local function handler() return "x" end

--- Runs `text` as a file "site.lua" with `app`, `mg` and `f` (a function); what it raised, or nil.
local function raised(text, app)
    local chunk = assert(loadstring("local app, mg, f = ...; " .. text, "@site.lua"))
    local ok, message = pcall(chunk, app or apps.new(), { upstream = upstream.new, app = apps.new }, handler)
    return not ok and message or nil
end

--- The last route that `text` writes.
local function route(text)
    local app = apps.new()
    assert.is_nil(raised(text, app))
    return app.routes[#app.routes], app
end

describe("an app", function()
    it("writes down each verb with method, captures and place", function()
        for verb, method in pairs {
            get = "GET", post = "POST", put = "PUT", patch = "PATCH", delete = "DELETE", head = "HEAD", options = "OPTIONS",
        } do
            local made = route(("\n\napp:%s('/users/:id/*rest', f)"):format(verb))
            assert.same({ method }, made.methods)
            assert.same({ "id", "rest" }, made.names)
            assert.equal("site.lua:3", made.where)
            assert.equal(handler, made.handler)
        end
        assert.is_nil(route("app:any('/x', f)").methods)
    end)

    it("takes options before the handler, in the program's units", function()
        local made = route("app:post('/x', { body = '64k', name = 'orders', when = f }, f)")
        assert.same({ body = 65536, name = "orders" }, made.options)
        assert.equal(handler, made.when)
        assert.same({}, route("app:get('/x', f)").options)
    end)

    it("takes a route for some methods, in one table or as arguments", function()
        for _, text in ipairs {
            "app:route('/x', { methods = { 'GET', 'PUT' }, body = '1k' }, f)", "app:route { '/x', f, methods = { 'GET', 'PUT' }, body = '1k' }",
            "app:route { pattern = '/x', handler = f, methods = { 'GET', 'PUT' }, body = 1024 }",
        } do
            local made = route(text)
            assert.same({ "GET", "PUT" }, made.methods)
            assert.same({ body = 1024 }, made.options)
            assert.equal("/x", made.pattern)
        end
    end)

    it("knows the methods that the core knows by number, and no others", function()
        local known = {}
        for line in io.lines("src/http/methods.tbl.h") do known[#known + 1] = line:match('^X%([%w_]+, "([^"]+)"%)') end
        assert.same(known, apps.METHODS)
    end)

    it("raises misuse at the line of the call, saying what to write", function()
        for text, message in pairs {
            ["app:get('x', f)"] = 'app:get: "x", byte 1: a pattern begins with "/" (write "/x")',
            ["app:get('/u/{id}', f)"] = 'app:get: "/u/{id}": a capture is written with a colon (write "/u/:id")',
            ["app:get('/u/<int:id>/x', f)"] = 'app:get: "/u/<int:id>/x": a capture is written with a colon (write "/u/:id/x")',
            ["app:files('/u/{path...}', 'd')"] = 'app:files: "/u/{path...}": a capture is written with a colon (write "/u/:path")',
            ["mg.app(mg)"] = "mg:app: it is called with a dot (write mg.app())",
            ["app:get(7, f)"] = 'app:get: expected a pattern such as "/users/:id", got 7',
            ["app:get('/x')"] = "app:get: expected a handler function or a descriptor, got nothing"
                .. " (name the function, without calling it; is it defined above this line?)",
            ["app:get('/x', 'text')"] = 'app:get: expected a handler function or a descriptor, got "text"'
                .. ' (an answer is returned by a function: function(req) return "text" end)',
            ["app:get('/x', { bdy = 1 }, f)"] = 'app:get: bdy: unknown key (did you mean "body"?)',
            ["app:get('/x', { methods = 'PUT' }, f)"] = "app:get: methods: unknown key (known here: when, body, handler_time, handler_grace, request_time, name)",
            ["app:route('/x', { methods = 'get' }, f)"] = 'app:route: methods: expected a method such as "GET", got "get" (did you mean "GET"?)',
            ["app.get('/x', f)"] = "app.get: it is called with a colon (write app:get(…))",
            ["app:filter('/x')"] = 'app:filter: expected a filter function(req, next), got nothing',
            ["app:group('/x/', f)"] = 'app:group: "/x/": a prefix does not end in a slash (write "/x")',
            ["app:group('/x/*')"] = 'app:group: "/x/*": nothing can follow a wildcard',
            ["app:mount('/x', app)"] = "app:mount: an app cannot be mounted in itself",
            ["app:mount('/x', {})"] = "app:mount: expected an app, got a table",
            ["app:host('a:80')"] = 'app:host: host "a:80": hosts are compared without a port',
            ["app:on_error('not_found', f)"] = 'app:on_error: unknown kind "not_found" (did you mean "not-found"?)',
            ["app:on_error(399, f)"] = 'app:on_error: expected a kind such as "not-found", a status or "*", got 399 (errors have a status from 400 to 599)',
            ["app:on_error(600, f)"] = 'app:on_error: expected a kind such as "not-found", a status or "*", got 600 (errors have a status from 400 to 599)',
            ["app:on_error('x', f) app:on_error('x', f)"] = 'app:on_error: a handler of "x" is already at site.lua:1',
            ["app:on_start(f, { onec = true })"] = 'app:on_start: onec: unknown key (did you mean "once"?)',
            ["app:on_stop('x')"] = 'app:on_stop: expected a function, got "x"',
            ["app:extend_request('a b', f)"] = 'app:extend_request: expected a name, got "a b"',
            ["app:files('/x', 'd')"] = 'app:files: "/x": files need a pattern that ends in a wildcard (write "/x/*")',
            ["app:files('/x/*', 7)"] = "app:files: expected a folder, got 7",
            ["app:redirect('/a', 'b')"] = 'app:redirect: expected a path such as "/new" or a URL, got "b" (write "/b")',
            ["app:redirect('/a', '/b', 200)"] = "app:redirect: expected a status of 301, 302, 303, 307 or 308, got 200",
            ["app:redirect('/a', '/b\\r\\nx: y')"] = 'app:redirect: "/b\\r\\nx: y": spaces, controls and non-ASCII characters are written as %XX',
            ["app:redirect('/a/:x', '/b/:y')"] = 'app:redirect: "/a/:x" has no capture "y" for "/b/:y"',
            ["app:redirect('/a/:x', '/a/:x')"] = 'app:redirect: "/a/:x" redirects to itself',
            ["app:proxy('/a', 'https://b')"] = 'app:proxy: servers: expected a server such as "10.0.0.1:9000" or "unix:/path", got "https://b": '
                .. 'servers are spoken to without TLS, as in "http://10.0.0.1:9000"',
            ["app:proxy('/a', 7)"] = 'app:proxy: expected an upstream, a URL such as "http://10.0.0.1:9000" or a list of servers, got 7',
            ["app:proxy('/a', 'http://b/c')"] = 'app:proxy: servers: expected a server such as "10.0.0.1:9000" or "unix:/path", got "http://b/c": '
                .. "a server has no path; the option `path` of app:proxy changes the request's",
            ["app:proxy('/a/*', 'b:1', { path = '/:id' })"] = 'app:proxy: "/a/*" has no capture "id" for "/:id"',
        } do
            assert.equal("site.lua:1: " .. message, raised(text))
        end
    end)

    it("holds both ends of the statuses that an error handler can be for", function()
        assert.is_nil(raised("app:on_error(400, f) app:on_error(599, f)"))
    end)

    it("is fixed once it is sealed", function()
        local app = apps.new()
        local part = app:group("/x")
        apps.seal(app)
        assert.matches("^site.lua:1: app:get: an app is fixed once its file has loaded", raised("app:get('/x', f)", app))
        assert.matches("an app is fixed", raised("app:get('/x', f)", part))
    end)

    it("writes descriptors for files, proxies and redirects", function()
        local files = route("app:files('/a/*', 'public', { cache_control = 'no-cache', name = 'static' })")
        assert.same({ "GET" }, files.methods)
        assert.equal("files", files.handler.kind)
        assert.equal("public", files.handler.dir)
        assert.same({ cache_control = "no-cache" }, files.handler.options)
        assert.same({ name = "static" }, files.options)
        local proxy = route("app:proxy('/api/*', { '10.0.0.1:9', { 'http://b', weight = 3 } }, { path = '/v1/*', body = '2m' })")
        assert.same({ { address = "10.0.0.1:9", weight = 1 }, { address = "b:80", weight = 3 } }, proxy.handler.upstream.servers)
        assert.same({ path = "/v1/*" }, proxy.handler.options)
        assert.equal(2097152, proxy.options.body)
        local redirect = route("app:redirect('/old/:id', 'https://x.org/new/:id?a=b')")
        assert.equal(302, redirect.handler.status)
        assert.is_true(redirect.handler.keep_query)
        assert.is_nil(redirect.methods)
        assert.equal(308, route("app:redirect('/a', '/b', 308, { keep_query = false })").handler.status)
    end)

    it("takes a folder as beside the file that names it", function()
        local app = apps.new()
        assert(loadstring("local app = ...; app:files('/a/*', 'public') app:files('/b/*', '/srv')", "@sites/x/app.lua"))(app)
        assert.equal("sites/x/public", app.routes[1].handler.dir)
        assert.equal("/srv", app.routes[2].handler.dir)
    end)

    it("takes upstreams and redirect answers where a handler is expected", function()
        assert.equal("proxy", route("app:any('/x', mg.upstream { servers = 'a:1' })").handler.kind)
        local answer = setmetatable({ status = 301, headers = { location = "/y" } }, {})
        local app = apps.new()
        app:get("/x", answer)
        assert.equal("redirect", app.routes[1].handler.kind)
        assert.equal(301, app.routes[1].handler.status)
        assert.equal("/y", app.routes[1].handler.to)
    end)

    it("puts a group's routes, filters and error handlers below its prefix", function()
        local app = apps.new()
        app:group("/admin", function(admin)
            admin:filter(handler)
            admin:filter("/x/*", handler)
            admin:get("", handler)
            admin:get("/", handler)
            admin:group("/:id"):get("/y", handler)
            admin:on_error("not-found", handler)
        end)
        local patterns, filters = {}, {}
        for at, made in ipairs(app.routes) do patterns[at] = made.pattern end
        for at, made in ipairs(app.filters) do filters[at] = made.pattern end
        assert.same({ "/admin", "/admin/", "/admin/:id/y" }, patterns)
        assert.same({ "/admin", "/admin/*", "/admin/x/*" }, filters)
        assert.same({ "id" }, app.routes[3].names)
        assert.same({}, app.error_handlers)
        assert.equal("/admin", app.scoped_errors[1].prefix)
    end)

    it("keeps a host's routes to it, and hosts within hosts", function()
        local app = apps.new()
        local all = app:host("*.Example.org")
        all:get("/", handler)
        all:host("api.example.org", function(api) api:get("/", handler) end)
        assert.equal("*.example.org", app.routes[1].host)
        assert.equal("api.example.org", app.routes[2].host)
        assert.has_error(function() all:host("example.com") end, 'app:host: "example.com" lies outside of "*.example.org"')
    end)

    it("mounts another app as it is, below a prefix", function()
        local other, app = apps.new(), apps.new()
        other:get("/:id", handler)
        other:filter(handler)
        other:on_stop(handler)
        other:extend_request("user", handler)
        app:mount("/v1/:tenant", other)
        assert.equal("/v1/:tenant/:id", app.routes[1].pattern)
        assert.same({ "tenant", "id" }, app.routes[1].names)
        assert.equal("/:id", other.routes[1].pattern)
        assert.same({ "id" }, other.routes[1].names)
        assert.same({ "/v1/:tenant", "/v1/:tenant/*" }, { app.filters[1].pattern, app.filters[2].pattern })
        app:mount("/v2", other)
        assert.equal(1, #app.stop)
        assert.equal(handler, app.extensions.user)
    end)

    it("keeps hooks in order, with what they are for", function()
        local _, app = route("app:get('/', f) app:on_start(f) app:on_start(f, { once = true }) app:on_done(f)")
        assert.same({ false, true }, { app.start[1].once, app.start[2].once })
        assert.equal("site.lua:1", app.done[1].where)
    end)
end)

describe("an upstream", function()
    it("is a checked value", function()
        local api = upstream.new { name = "api", servers = { "10.0.0.1:9000", { "[::1]:1", weight = 1000 }, "unix:/run/x" } }
        assert.equal("api", api.name)
        assert.equal(1000, api.servers[2].weight)
        assert.equal("unix:/run/x", api.servers[3].address)
        assert.equal("b:1", upstream.new({ servers = "b:1" }).name)
    end)

    it("refuses what cannot be served by, at the line of the call", function()
        for text, message in pairs {
            ["{ servers = {} }"] = "got an empty list",
            ["{}"] = "servers: missing",
            ["{ servers = 'a' }"] = "a port is missing",
            ["{ servers = 'a:0' }"] = "ports go from 1 to 65535",
            ["{ servers = 'a:65536' }"] = "ports go from 1 to 65535",
            ["{ servers = '::1:80' }"] = "an IPv6 address stands in brackets",
            ["{ servers = ':80' }"] = "a host is missing",
            ["{ servers = 'unix:' }"] = "a path follows",
            ["{ servers = { { 'a:1', weight = 0 } } }"] = "servers[1].weight: expected a whole number from 1 to 1000, got 0",
            ["{ servers = { { 'a:1', weight = 1001 } } }"] = "got 1001",
            ["{ servers = { 'a:1', 'a:1' } }"] = 'servers[2]: "a:1" is already servers[1]',
            ["{ servers = 'a:1', balance = 'round-robbin' }"] = 'did you mean "round-robin"?',
        } do
            local found = raised("mg.upstream " .. text)
            assert.equal("site.lua:1: mg.upstream: ", found:sub(1, 25))
            assert.is_truthy(found:find(message, 1, true), found)
        end
    end)

    it("takes the longest path of a socket and refuses one more", function()
        assert.is_nil(raised(("mg.upstream { servers = 'unix:%s' }"):format(("x"):rep(107))))
        assert.matches("at most 107 bytes", raised(("mg.upstream { servers = 'unix:%s' }"):format(("x"):rep(108))))
    end)
end)
