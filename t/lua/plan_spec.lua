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
        assert.equal("name shop\nlisten :80\nlisten unix:/x\nworkers 3\ndrain_ms 1500\nonce 1\naccess_log /a.log\naccess_format json\n"
            .. "error_log -\nroute 2 GET /u/:id\nroute 3 an x\nroute 4 GET b.org/\nend\n", plan.text(site:file "site.lua"))
    end)

    it("has no once without such a hook, and keeps each value to its line", function()
        site = sites.new { ["site.lua"] = APP .. "app:get('/', { name = 'a\\nend\\n' }, print)\napp:on_start(print)\nreturn app" }
        local text = plan.text(site:file "site.lua")
        assert.is_nil(text:match("\nonce"))
        assert.matches("\nroute 2 a%?end%?\nend\n$", text)
        local _, ends = text:gsub("\nend\n", "")
        assert.equal(1, ends)
    end)

    it("counts the processors that may be used", function()
        local function count(list, quota)
            return plan.processors(function(path)
                if path == "/proc/self/status" then return list and "Name:\tx\nCpus_allowed_list:\t" .. list .. "\nMems:\t0\n" end
                return quota
            end)
        end
        assert.equal(1, count("0"))
        assert.equal(2, count("0-1"))
        assert.equal(6, count("0-3,8,10"))
        assert.equal(8, count("0-7", "max 100000\n"))
        assert.equal(2, count("0-7", "150000 100000\n"))
        assert.equal(1, count("0-7", "1000 100000\n"))
        assert.equal(1, count(nil))
        assert.is_true(plan.processors() >= 1)
    end)
end)
