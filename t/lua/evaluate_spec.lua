local sites = require "t.support.site"
local evaluate = require "moongate.evaluate"

local APP = 'local app = require("moongate").app()\n'

describe("evaluating", function()
    local site

    local function with(files) site = sites.new(files) end

    after_each(function()
        site:remove()
        package.loaded["moongate"] = nil
    end)

    it("makes one value of an app's file", function()
        with { ["site.lua"] = APP .. "app:get('/', function() end)\nreturn app" }
        local made = site:file "site.lua"
        assert.equal(0, #made.problems)
        assert.equal("site", made.config.name)
        assert.same({ "127.0.0.1:8080" }, made.config.listen)
        assert.equal(site:path "site.lua" .. ":2", made.apps.routes[1].where)
        assert.same({ site:path "site.lua" }, made.files)
    end)

    it("loads the apps that a config names, beside it, each for its host", function()
        with {
            ["conf.lua"] = "return { app = 'a.lua', hosts = { ['*.b.org'] = 'sub/b.lua', ['c.org'] = 'a.lua' }, name = 'x' }",
            ["a.lua"] = APP .. "app:get('/a', function() end)\napp:on_stop(function() end)\nreturn app",
            ["sub/b.lua"] = APP .. "app:get('/b', function() end)\napp:on_error('*', function() end)\nreturn app",
        }
        local made = site:file "conf.lua"
        assert.equal("", made.problems:text())
        local routes = {}
        for at, route in ipairs(made.apps.routes) do routes[at] = (route.host or "-") .. route.pattern end
        assert.same({ "-/a", "*.b.org/b", "c.org/a" }, routes)
        assert.equal(1, #made.apps.stop)
        assert.is_function(made.apps.error_handlers["*"].fn)
        assert.equal(3, #made.files)
    end)

    it("finds modules beside the file that asks, and loads them anew each time", function()
        with {
            ["site.lua"] = APP .. "local u, i = require 'lib.util', require 'pack'\napp:get(u.path .. i, function() end)\n"
                .. "assert(u == require 'lib.util')\nassert(package.loaded['lib.util'] == u)\nreturn app",
            ["lib/util.lua"] = "return { path = '/one' }", ["pack/init.lua"] = "return '/pack'",
        }
        assert.equal("/one/pack", site:file("site.lua").apps.routes[1].pattern)
        site:write("lib/util.lua", "return { path = '/two' }")
        local made = site:file "site.lua"
        assert.equal("/two/pack", made.apps.routes[1].pattern)
        assert.equal(3, #made.files)
        assert.is_nil(package.loaded["lib.util"])
    end)

    it("keeps the modules of two folders apart, and shares Moongate's own", function()
        local text = APP .. "assert(require 'moongate' == require 'moongate')\napp:get(require 'util', function() end)\nreturn app"
        with {
            ["conf.lua"] = "return { app = 'a/app.lua', hosts = { ['b.org'] = 'b/app.lua' } }",
            ["a/app.lua"] = text, ["b/app.lua"] = text, ["a/util.lua"] = "return '/a'", ["b/util.lua"] = "return '/b'",
        }
        local made = site:file "conf.lua"
        assert.equal("", made.problems:text())
        assert.same({ "/a", "/b" }, { made.apps.routes[1].pattern, made.apps.routes[2].pattern })
    end)

    it("tells each global that leaks, with its line, and goes on", function()
        with { ["site.lua"] = APP .. "counter = 1\nfunction helper() end\nlocal u = require 'util'\nreturn app", ["util.lua"] = "\nleak = {}" }
        assert.same({
            'site.lua:2:1: global "counter" is assigned: nothing is global, make it local | write local counter = …',
            'site.lua:3:10: global "helper" is assigned: nothing is global, make it local | write local function helper(…)',
            'util.lua:2:1: global "leak" is assigned: nothing is global, make it local | write local leak = …',
        }, site:problems "site.lua")
        assert.is_nil(rawget(_G, "counter"))
    end)

    it("raises at the line of a global that is assigned by a request", function()
        with { ["site.lua"] = APP .. "app:get('/', function()\n  _G.hits = 1\nend)\nreturn app" }
        local ok, message = pcall(site:file("site.lua").apps.routes[1].handler)
        assert.is_false(ok)
        assert.matches('site.lua:3: global "hits" is assigned', message)
    end)

    it("keeps chunks that a file makes in the file's own world", function()
        with { ["site.lua"] = APP .. "loadstring('leak = 1', '@made.lua')()\nreturn app" }
        assert.same({ 'made.lua:1: global "leak" is assigned: nothing is global, make it local | write local leak = …' },
            site:problems "site.lua")
    end)

    it("tells a syntax error with line and column, in the file that has it", function()
        with { ["site.lua"] = "local x = require 'lib.broken'\nreturn x", ["lib/broken.lua"] = "local a = 1\nlocal function f( return 1 end" }
        assert.same({ "lib/broken.lua:2:19: <name> or '...' expected near 'return'" }, site:problems "site.lua")
        assert.same({ "lib/broken.lua:2:19: <name> or '...' expected near 'return'" }, site:problems "lib/broken.lua")
    end)

    it("tells an error at the line that raised it, however deep", function()
        with {
            ["site.lua"] = "local u = require 'util'\nu.f()", ["util.lua"] = "local u = {}\nfunction u.f()\n  local x\n  x.y = 1\nend\nreturn u",
            ["typo.lua"] = "\npirnt('x')", ["tables.lua"] = "error({ message = 'own' })", ["nosuch.lua"] = "return require 'not.there'",
            ["deep.lua"] = "local dead = require 'dies'\nreturn dead", ["dies.lua"] = "\nerror('at load')",
        }
        assert.same({ "util.lua:4: attempt to index local 'x' (a nil value)" }, site:problems "site.lua")
        assert.same({ 'typo.lua:2:1: global "pirnt" is not there | did you mean "print"?' }, site:problems "typo.lua")
        assert.same({ 'tables.lua:1: raised "own"' }, site:problems "tables.lua")
        assert.same({ 'nosuch.lua:1:16: module "not.there" not found: neither not/there.lua, not/there/init.lua nor an installed one' },
            site:problems "nosuch.lua")
        assert.same({ "dies.lua:2: at load" }, site:problems "deep.lua")
    end)

    it("lets a file try a module that may be missing or broken, twice", function()
        with {
            ["site.lua"] = APP .. "for _ = 1, 2 do\n  assert(not pcall(require, 'none'))\n"
                .. "  local _, message = pcall(require, 'dies')\n  assert(message:match('the reason$'), message)\nend\nreturn app",
            ["dies.lua"] = "error('the reason')",
        }
        assert.same({}, site:problems "site.lua")
    end)

    it("tells files that require each other", function()
        with { ["a.lua"] = "local b = require 'b'\nreturn b", ["b.lua"] = "local a = require 'a'\nreturn a" }
        assert.same({ 'b.lua:1:19: module "a" is asked for while it loads: two files require each other | put what both need into a third file' },
            site:problems "a.lua")
    end)

    it("says what a file must return", function()
        with {
            ["nothing.lua"] = "local x = 1", ["number.lua"] = "return 7", ["conf.lua"] = "return { app = 'nothing.lua' }",
            ["self.lua"] = "return {\n  app = 'self.lua' }", ["missing.lua"] = "return {\n  app = 'none.lua' }", ["empty.lua"] = "return {}",
        }
        local hint = " | end it with `return app`, or with `return { app = …, listen = … }`"
        assert.same({ "nothing.lua: returns nothing" .. hint }, site:problems "nothing.lua")
        assert.same({ "number.lua: returns a number" .. hint }, site:problems "number.lua")
        assert.same({ "nothing.lua: returns nothing, not an app | end it with `return app`, where app = mg.app()" }, site:problems "conf.lua")
        assert.same({ "self.lua:2:3: app: names the config itself" }, site:problems "self.lua")
        assert.same({ 'missing.lua:2:3: app: there is no file "none.lua" | a file is looked for beside the config' }, site:problems "missing.lua")
        assert.same({ 'empty.lua: app: missing: name the file that returns your app, as in app = "site.lua"' }, site:problems "empty.lua")
        assert.same({ "gone.lua: there is no such file" }, site:problems "gone.lua")
    end)

    it("tells the problems of a config and of its apps together", function()
        with { ["conf.lua"] = "return {\n  lisen = 1,\n  app = 'site.lua' }", ["site.lua"] = APP .. "app:get('x', print)\nreturn app" }
        assert.same({
            'conf.lua:2:3: lisen: unknown key | did you mean "listen"?',
            'site.lua:2:10: app:get: "x": a pattern begins with "/" | write "/x"',
        }, site:problems "conf.lua")
    end)

    it("tells routes that can never be reached, with both lines, and folders that are not there", function()
        with { ["site.lua"] = APP .. "local function f() end\napp:get('/:a', f)\napp:get('/:b', f)\napp:files('/x/*', 'none')\n"
            .. "app:files('/y/*', 'www')\nreturn app", ["www/"] = true }
        assert.same({
            'site.lua:4:9: GET "/:b" can never be reached: it is routed at line 3 as "/:a" already | '
                .. "give one of the two a `when`, or another method or pattern",
            'site.lua:5:19: no folder "none" | a folder is looked for beside the file that names it',
        }, site:problems "site.lua")
    end)

    it("puts a route with a predicate before the plain one of its pattern", function()
        with { ["site.lua"] = APP .. "app:get('/', print)\napp:get('/', { when = print }, print)\nreturn app" }
        local routes = site:file("site.lua").apps.routes
        assert.same({ true, false }, { routes[1].when ~= nil, routes[2].when ~= nil })
    end)

    it("shows the line and a caret, tabs and all", function()
        with { ["conf.lua"] = "return {\n\tlisen = 1,\n  app = require('moongate').app(),\n}" }
        assert.equal('conf.lua:2:2: lisen: unknown key\n    2 | \tlisen = 1,\n      | \t^^^^^\n      = did you mean "listen"?\n',
            site:short(site:file("conf.lua").problems:text()))
    end)

    it("takes a first line for the shell and a byte order mark, and refuses bytecode", function()
        with { ["a.lua"] = "#!/usr/bin/env moongate\n" .. APP .. "app:get('x', print)\nreturn app", ["b.lua"] = "\239\187\191" .. APP .. "return app",
            ["c.lua"] = string.dump(function() end) }
        assert.matches("^a.lua:3:10: ", site:problems("a.lua")[1])
        assert.same({}, site:problems "b.lua")
        assert.same({ "c.lua: compiled Lua is not loaded, only source" }, site:problems "c.lua")
    end)

    -- In a process of its own: busted makes ffi.cdef forgiving for itself.
    it("accepts the same C declarations again, and names a changed one", function()
        local text = APP .. "require('ffi').cdef [[ struct evaluate_spec { int x; }; ]]\nreturn app"
        with { ["site.lua"] = text, ["changed.lua"] = (text:gsub("int", "double")), ["twice.lua"] = [[
            local site = setmetatable({ folder = ... }, { __index = require("t.support.site").class })
            package.loaded["moongate"] = require("t.support.site").mg
            for _, name in ipairs { "site.lua", "site.lua", "changed.lua" } do
                print(name, #site:problems(name), site:problems(name)[1])
            end]] }
        local child = assert(io.popen(("LUA_PATH='./?.lua;./lua/?.lua;;' luajit %s %s 2>&1"):format(site:path "twice.lua", site.folder)))
        local told = child:read("*a")
        child:close()
        assert.equal("site.lua\t0\tnil\nsite.lua\t0\tnil\nchanged.lua\t1\tchanged.lua:2: attempt to redefine 'evaluate_spec'"
            .. " | C declarations stay for the life of a worker: give a changed one another name\n", told)
    end)

    it("gathers what is said for all apps, and only while loading", function()
        with { ["site.lua"] = APP .. "require('moongate').extend_request('user', function() end)\nreturn app",
            ["twice.lua"] = APP .. "local f = function() end\nrequire('moongate').extend_request('u', f)\n"
                .. "app:extend_request('u', function() end)\nreturn app" }
        assert.is_function(site:file("site.lua").apps.extensions.user)
        assert.same({ "twice.lua:3: req.u is already made at twice.lua:4" }, site:problems "twice.lua")
        assert.has_error(function() sites.mg.extend_request("x", print) end, "mg.extend_request: only while the files load")
    end)

    it("fixes the app when the file has loaded", function()
        with { ["site.lua"] = APP .. "app:get('/', function() app:get('/x', print) end)\nreturn app" }
        assert.has_error(site:file("site.lua").apps.routes[1].handler)
    end)

    it("keeps long names of files whole", function()
        local name = ("d"):rep(100) .. "/site.lua"
        with { [name] = "\nlocal x = = 1", [("e"):rep(100) .. "/site.lua"] = "\nerror('x')" }
        assert.equal(name .. ":2:11: unexpected symbol near '='", site:problems(name)[1])
        assert.equal(("e"):rep(100) .. "/site.lua:2: x", site:problems(("e"):rep(100) .. "/site.lua")[1])
    end)
end)

describe("commands that need no config", function()
    it("serve a folder", function()
        local made = evaluate.command { command = "serve", arguments = { "conf/www" }, listen = { ":81" } }
        assert.equal("", made.problems:text())
        assert.same({ ":81" }, made.config.listen)
        assert.equal("conf/www", made.apps.routes[1].handler.dir)
        assert.equal("serve", made.config.name)
        assert.equal('moongate serve: no folder "nowhere"\n',
            (evaluate.command({ command = "serve", arguments = { "nowhere" } }).problems:text():match("^[^\n]*\n")))
    end)

    it("forward to servers", function()
        local made = evaluate.command { command = "proxy", arguments = { ":80", "10.0.0.1:9", "http://b" } }
        assert.equal("", made.problems:text())
        assert.same({ ":80" }, made.config.listen)
        assert.equal("b:80", made.apps.routes[1].handler.upstream.servers[2].address)
    end)

    it("say what is missing or wrong", function()
        for words, message in pairs {
            [""] = "command line: proxy: expected an address and servers, as in: moongate proxy :8080 10.0.0.1:9000 10.0.0.2:9000\n",
            [":80"] = "command line: proxy: expected an address and servers, as in: moongate proxy :8080 10.0.0.1:9000 10.0.0.2:9000\n",
            [":80 b"] = 'command line: proxy: servers[1]: expected a server such as "10.0.0.1:9000" or "unix:/path", got "b": a port is missing\n',
        } do
            local arguments = {}
            for word in words:gmatch("%S+") do arguments[#arguments + 1] = word end
            assert.equal(message, evaluate.command({ command = "proxy", arguments = arguments }).problems:text())
        end
    end)
end)
