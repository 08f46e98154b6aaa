local sites = require "t.support.site"
local plan = require "moongate.plan"

local APP = 'local app = require("moongate").app()\n'

describe("a plan", function()
    local site
    after_each(function()
        if site then site:remove() end
        site = nil
    end)

    it("says what the processes must know, and ends with its end", function()
        site = sites.new { ["site.lua"] = "return { name = 'shop', listen = { ':80', 'unix:/x' }, workers = 3, drain = '1.5s', app = 'a.lua',\n"
            .. "log = { access = '/a.log', format = 'json' } }",
            ["a.lua"] = APP .. "app:get('/u/:id', print)\napp:any('/x', { name = 'an x' }, print)\n"
                .. "app:host('b.org'):get('/', print)\napp:on_start(print, { once = true })\nreturn app" }
        assert.equal("name shop\nlisten :80\nlisten unix:/x\nworkers 3\nengine auto\ndrain_ms 1500\nonce 1\naccess_log /a.log\naccess_format json\n"
            .. "error_log -\nreload manual\nroute 2 HEX GET /u/:id\nroute 3 HEX an x\nroute 4 HEX GET b.org/\nfile site.lua\nfile a.lua\nend\n",
            (site:short(plan.text(site:file "site.lua")):gsub("(route %d) %x+ ", "%1 HEX ")))
    end)

    it("has no once without such a hook, and keeps each value to its line", function()
        site = sites.new { ["site.lua"] = APP .. "app:get('/', { name = 'a\\nend\\n' }, print)\napp:on_start(print)\nreturn app" }
        local text = plan.text(site:file "site.lua")
        assert.is_nil(text:match("\nonce"))
        assert.matches("\nroute 2 %x+ a%?end%?\nfile [^\n]+\nend\n$", text)
        local _, ends = text:gsub("\nend\n", "")
        assert.equal(1, ends)
    end)

    it("tells routes that do the same by the same number, wherever they are written", function()
        local function prints(text, options)
            site = sites.new { ["site.lua"] = APP .. text .. "\nreturn app", ["x.lua"] = "return function() return 1 end" }
            local found = {}
            for print in plan.text(site:file("site.lua", options)):gmatch("\nroute %d+ (%x+) ") do found[#found + 1] = print end
            site:remove()
            site = nil
            return unpack(found)
        end
        local first, second = prints "app:get('/a', function() return 'x' end)\napp:get('/b', function() return 'x' end)"
        assert.equal(16, #first)
        assert.not_equal(first, second)
        local function is_same(text) return (prints(text)) == first end
        assert.is_true(is_same "\n\n-- moved\napp:get('/a', function() return 'x' end)")
        assert.is_true(is_same "app:get('/a', function() return 'x' end)\napp:filter('/b', function(req, next) return next(req) end)")
        assert.is_false(is_same "app:get('/a', function() return 'y' end)")
        assert.is_false(is_same "app:post('/a', function() return 'x' end)")
        assert.is_false(is_same "app:get('/a', { body = '1k' }, function() return 'x' end)")
        assert.is_false(is_same "app:get('/a', { when = print }, function() return 'x' end)")
        assert.is_false(is_same "app:get('/a', function() return 'x' end)\napp:filter('/*', function(req, next) return next(req) end)")
        assert.is_false(is_same "app:redirect('/a', '/x')")
        assert.not_equal((prints "app:redirect('/a', '/x')"), (prints "app:redirect('/a', '/y')"))
        assert.not_equal((prints "app:proxy('/a', '127.0.0.1:1')"), (prints "app:proxy('/a', '127.0.0.1:2')"))
    end)

    it("names every file that was loaded, and with problems also those that were not there", function()
        site = sites.new { ["site.lua"] = "require 'lib.a'\n" .. APP .. "return app", ["lib/a.lua"] = "require 'lib.b'", ["lib/b/init.lua"] = "x = = 1" }
        local broken = site:short(plan.files_text(site:file "site.lua"))
        assert.equal("file site.lua\nfile lib/a.lua\nfile lib/b.lua\nfile lib/b/init.lua\n", broken:gsub("file lib/lib/[^\n]+\n", ""))
    end)

    it("counts the processors that may be used", function()
        local function count(list, quota)
            return plan.processors(list, function(path) return path == "/sys/fs/cgroup/cpu.max" and quota or nil end)
        end
        assert.equal(1, count(1))
        assert.equal(8, count(8))
        assert.equal(8, count(8, "max 100000\n"))
        assert.equal(2, count(8, "150000 100000\n"))
        assert.equal(1, count(8, "1000 100000\n"))
        assert.is_true(plan.processors() >= 1)
    end)
end)
