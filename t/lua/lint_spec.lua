local sites = require "t.support.site"
local names = require "moongate.names"
local syntax = require "moongate.syntax"

local HEAD = 'local mg = require "moongate"\nlocal app = mg.app()\n'

--- What a site of that body is told, one line each, without its hints.
local function told(body, files)
    local given = { ["site.lua"] = HEAD .. body .. "\nreturn app" }
    for name, text in pairs(files or {}) do given[name] = text end
    local site = sites.new(given)
    for name in pairs(names.kinds.mg.members) do
        if sites.mg[name] == nil then sites.mg[name] = function() return {} end end
    end
    local lines = site:problems "site.lua"
    site:remove()
    for at, line in ipairs(lines) do lines[at] = line:gsub(" | .*$", "") end
    return lines
end

--- Sound code, of all kinds that could be mistaken.
local SOUND = {
    'local req = { foo = 1 } app:get("/", function() return req.foo end)',
    'app:get("/", function(req) local req = { x = 1 } return req.x end)',
    'app:get("/", function(req) do local req = {} req.y = 2 end return "x" end)',
    'app:get("/", function(r) r = { z = 1 } return r.z end)',
    'local lib = mg app:get("/", function(q) return lib.html(q.path) end)',
    'local json = require("moongate").json app:get("/", function(req) return json { a = req.params.anything } end)',
    'app:get("/", function(req) return req.headers.x_anything, req.query.b, req.cookies.c, req.state.d end)',
    'app:get("/", function(req) req.state.user = 1 return "x" end)',
    'app:get("/", function(req) return req["pa" .. "th"] end)',
    'local name = "path" app:get("/", function(req) return req[name] end)',
    'app:extend_request("user", function(req) return req.remote end) app:get("/", function(req) return req.user end)',
    'for _, verb in ipairs { "get", "post" } do app[verb](app, "/" .. verb, function(req) return req.method end) end',
    'app.settings = { a = 1 } app:get("/", function() return app.settings.a end)',
    'function app:twice(path, fn) self:get(path, fn) self:post(path, fn) end app:twice("/", function(req) return req.path end)',
    'app:filter(function(req, next) local res = next(req) res.headers["x-a"] = "1" res.status = 201 res.body = "y" return res end) app:get("/", print)',
    'app:filter(function(req, next) local ok, res = pcall(next, req) return res end) app:get("/", print)',
    'app:filter(function(req, next) for k, v in pairs({}) do mg.log(k, v) end return next(req) end) app:get("/", print)',
    'local function render(page) return page.title end app:get("/", function() return render { title = "x" } end)',
    'local function home(req) return req.path end app:get("/", home) local other = { path = 1 } home(other)',
    'local function page(p) return p.title end app:get("/", page) page { title = "x" }',
    'local both = function(a) return a.foo end app:get("/", both) app:on_stop(function() both { foo = 1 } end)',
    'if jit.os == "Linux" then app:get("/", function() return jit.arch end) end',
    'local bits = bit or bit32 app:get("/", function() return tostring(bits.bor(1, 2)) end)',
    'local unpack = table.unpack or unpack app:get("/", function() return unpack { "x" } end)',
    'if utf8 then app:get("/u", function() return utf8.char(1) end) end',
    'local has = type(bit32) == "table" and bit32.band app:get("/", function() return tostring(has) end)',
    'app:get("/", function() return _G.nothing and "x" or _VERSION end)',
    'local env = setfenv(function() return free end, { free = 1 }) app:get("/", function() return env() end)',
    'local chunk = loadstring("return 1") app:get("/", function() return tostring(chunk()) end)',
    'app:get("/", function(req) for i = 1, 2 do if i == 2 then goto out end end ::out:: return "x" end)',
    'local Class = {} Class.__index = Class function Class.new() return setmetatable({}, Class) end function Class:name() return self.n end',
    'app:get("/", function(req) return mg.stream(function(out) out:write("x") out:flush() return out:is_gone() end) end)',
    'app:get("/", function(req) return mg.sse(function(events) events:send { data = 1 } events:comment() end) end)',
    'app:on_error("*", function(req, err) return err.status, { err.message, err.id, err.kind, err.value } end)',
    'app:get("/", function(req) local first = req:header_values("a")[1] return first or req.json(req) end)',
    'local part = app:group("/a") part:get("/", function(req) return req.host end) app:host("b.org", function(h) h:get("/", print) end)',
    'app:get("/", function(...) local req = ... return req.anything end)',
    'app:get("/", { when = function(req) return req.query.beta end, name = "x" }, function(req) return "x" end)',
    'app:route { "/", methods = { "GET" }, handler = function(req) return req.method end }',
    'local ffi = require "ffi" app:get("/", function() return tostring(ffi.abi("64bit")) end)',
    'local t = setmetatable({}, { __index = function(_, k) return k end }) app:get("/", function() return t.anything end)',
}

describe("names that do not exist", function()
    after_each(function() package.loaded["moongate"] = nil end)

    it("are not seen in sound code", function()
        for _, body in ipairs(SOUND) do assert.same({}, told(body), body) end
    end)

    it("are told with line and column, in functions that have not run", function()
        for body, message in pairs {
            ['app:get("/", function(req) return req.boddy end)'] = '3:39: req has no "boddy"',
            ['app:get("/", function(r) return r.boddy end)'] = '3:35: req has no "boddy"',
            ['local function home(req) return req.boddy end app:get("/", home)'] = '3:37: req has no "boddy"',
            ['app:post("/", function(req) return req.json() end)'] = "3:40: req.json: it is called with a colon",
            ['app:get("/", function(req) return req:path() end)'] = "3:35: req.path is a value, not a function",
            ['app:get("/", function(req) req.user = 1 return "x" end)'] = "3:32: req.user cannot be set",
            ['app:get("/", { when = function(req) return req.beta end }, print)'] = '3:48: req has no "beta"',
            ['app:group("/a", function(a) a:gett("/", print) end)'] = '3:31: app has no "gett"',
            ['app:filter(function(req, go) return go() end) app:get("/", print)'] = "3:37: next: expected the request, got nothing",
            ['app:filter(function(req, go) local res = go(req) return res.bdoy end) app:get("/", print)'] = '3:61: res has no "bdoy"',
            ['app:on_error(404, function(req, err) return err.mesage end)'] = '3:49: err has no "mesage"',
            ['app:get("/", function() return mg.jsno { } end)'] = '3:35: mg has no "jsno"',
            ['app:get("/", function() return mg.file("x", { tipe = "a" }) end)'] = "3:47: mg.file: tipe: unknown key",
            ['app:get("/", function() return mesage end)'] = '3:32: global "mesage" is not there',
            ['app:get("/", function() hits = 1 end)'] = '3:25: global "hits" is assigned: nothing is global, make it local',
            ['local x = _G and pirnt'] = '3:18: global "pirnt" is not there',
        } do
            assert.same({ "site.lua:" .. message }, told(body), body)
        end
    end)

    it("are found in modules that the file did not come to", function()
        assert.same({ "site.lua:3: stop", 'late.lua:1:27: global "nme" is not there' },
            told('error("stop")\nlocal late = require "late"', { ["late.lua"] = "return function() return (nme) end" }))
    end)
end)

--- The keys of a table that is assigned in the text of a module, and the functions added to it.
local function members(path, variable)
    local file = assert(io.open(path))
    local made = assert(syntax.read(file:read("*a")))
    file:close()
    local found = {}
    for _, node in ipairs(made.fields) do
        if node.written and node.object.name == variable and node.key:sub(1, 1) ~= "_" then found[node.key] = true end
    end
    return found, made
end

local function sorted(set)
    local list = {}
    for name in pairs(set) do list[#list + 1] = name end
    table.sort(list)
    return list
end

describe("the names that are known", function()
    it("are those of the library", function()
        local found, made = members("lua/moongate/init.lua", "mg")
        for _, node in ipairs(made.fields) do
            if node.written and node.object.name ~= "mg" then found[node.key] = nil end
        end
        local text = assert(io.open("lua/moongate/init.lua")):read("*a"):match("\nlocal mg = (%b{})")
        local literal = assert(loadstring("local t = setmetatable({}, { __index = function() return setmetatable({}, "
            .. "{ __index = function() return 1 end }) end }) setfenv(1, { app = t.x, upstream = t.x, answers = t.x, descriptor = t.x, fetch = t.x, tasks = t.x, "
            .. "sync = t.x, crypto = t.x, json = t.x, request = t.x, sharing = function() return 1 end, require = function() return t.x end }) return " .. text))()
        for name in pairs(literal) do found[name] = true end
        assert.same(names.kinds.mg.list, sorted(found))
    end)

    it("are those of an app", function()
        local found = {}
        for name in pairs(require("moongate.app").App) do
            if not name:match("^__") then found[name] = true end
        end
        assert.same(names.kinds.app.list, sorted(found))
    end)

    it("are those of what tasks meet at", function()
        local sync = { channel = "Channel", semaphore = "Semaphore", mutex = "Mutex", wait_group = "WaitGroup" }
        for kind, variable in pairs(sync) do
            local found = members("lua/moongate/sync.lua", variable)
            for name, mark in pairs(names.kinds[kind].members) do
                if mark == "=" then found[name] = true end
            end
            assert.same(names.kinds[kind].list, sorted(found))
        end
    end)

    it("are those of a dictionary", function()
        local found = members("lua/moongate/shared.lua", "Shared")
        found.name = true
        assert.same(names.kinds.shared.list, sorted(found))
    end)

    it("are those of requests, answers and writers", function()
        local found = members("lua/moongate/request.lua", "Request")
        local text = assert(io.open("lua/moongate/request.lua")):read("*a")
        for name in text:match("\nlocal FIELDS = (%b{})"):gmatch("\n    ([%a_][%w_]*) = function") do found[name] = true end
        for name in text:match("function MT.__index.-\nend"):gmatch('key == "(%l+)"') do found[name] = true end
        assert.same(names.kinds.req.list, sorted(found))
        local answer = members("lua/moongate/result.lua", "methods")
        for name in pairs(names.kinds.res.settable) do answer[name] = true end
        assert.same(names.kinds.res.list, sorted(answer))
        local response = members("lua/moongate/fetched.lua", "methods")
        for _, name in ipairs { "headers", "ok", "status", "url" } do response[name] = true end
        assert.same(names.kinds.fetched.list, sorted(response))
        assert.same(names.kinds.out.list, sorted((members("lua/moongate/out.lua", "Out"))))
        assert.same(names.kinds.events.list, sorted((members("lua/moongate/out.lua", "Events"))))
    end)
end)
