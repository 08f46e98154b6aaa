local sites = require "t.support.site"
local judge = require "moongate.judge"

local APP = 'local app = require("moongate").app()\nlocal function keep(req, next) return next(req) end\n'

describe("what shows when everything is together", function()
    local site
    local resolve, privileged_below = judge.resolve, judge.privileged_below

    after_each(function()
        site:remove()
        package.loaded["moongate"] = nil
        judge.resolve, judge.privileged_below = resolve, privileged_below
    end)

    --- The problems and warnings of a site, and whether it may be served.
    local function judged(files)
        judge.privileged_below = function() return 0 end
        site = sites.new(files)
        local made = site:file "site.lua"
        local lines = {}
        for at, row in ipairs(made.problems:rows()) do lines[at] = ("%s %s:%s"):format(row.severity, row.line or "-", row.message) end
        return lines, made.config ~= nil
    end

    it("warns of a filter around no route, once for its two parts, and serves the site", function()
        local lines, is_served = judged { ["site.lua"] = APP .. [[
            app:get("/a/x", keep)
            app:filter("/a/*", keep)
            app:filter("/b/*", keep)
            app:group("/c"):filter(keep)
            app:group("/a"):filter(keep)
            app:host("b.org"):filter(keep)
            return app]] }
        assert.is_true(is_served)
        assert.same({ 'warning 5:this filter is around no route: none has a path of "/b/*"',
            'warning 6:this filter is around no route: none has a path of "/c"' }, lines)
    end)

    it("warns of nothing after a mistake, which may be its reason", function()
        local lines, is_served = judged { ["site.lua"] = APP .. 'app:get("b/x", keep)\napp:filter("/b/*", keep)\nreturn app' }
        assert.is_false(is_served)
        assert.same({ 'error 3:app:get: "b/x": a pattern begins with "/"' }, lines)
    end)

    it("tells methods that two routes share, and lets a narrower route stand beside any", function()
        local lines = judged { ["site.lua"] = APP .. [[
            app:route("/x", { methods = { "GET", "POST" } }, keep)
            app:route("/x", { methods = { "POST", "PUT" } }, keep)
            app:any("/x", keep)
            app:get("/y", keep)
            app:any("/y", keep)
            app:get("/y", { when = keep }, keep)
            return app]] }
        assert.same({ 'error 4:POST "/x" is routed at line 3 already' }, lines)
    end)

    it("tells log folders that are not there, beside the config, and files that are folders", function()
        local lines = judged { ["app.lua"] = APP .. "return app", ["logs/"] = true,
            ["site.lua"] = 'return { app = "app.lua",\nlog = { access = "logs/a.log",\nerrors = "none/e.log" } }' }
        assert.equal(1, #lines)
        assert.matches('^error 3:no folder ".*none"$', lines[1])
        lines = judged { ["app.lua"] = APP .. "return app", ["logs/"] = true, ["site.lua"] = 'return { app = "app.lua", log = { access = "logs" } }' }
        assert.matches('^error 1:".*logs" is a folder$', lines[1])
    end)

    it("warns of ports that need a privilege, from the first to the last of them", function()
        local function ports(below)
            site = sites.new { ["app.lua"] = APP .. "return app",
                ["site.lua"] = 'return { app = "app.lua", listen = { ":0", ":79", "[::1]:80", ":81", "unix:/run/x:79" } }' }
            judge.privileged_below = function() return below end
            local rows = site:file("site.lua").problems:rows()
            for at, row in ipairs(rows) do rows[at] = row.key end
            return rows
        end
        assert.same({ "listen[2]" }, ports(80))
        site:remove()
        assert.same({ "listen[2]", "listen[3]" }, ports(81))
        site:remove()
        assert.same({}, ports(0))
    end)

    it("warns of upstream names that the system does not know, each once, never of addresses", function()
        local asked = {}
        judge.resolve = function(host)
            asked[#asked + 1] = host
            return host:match("nowhere") and "no such name" or nil
        end
        local lines, is_served = judged { ["site.lua"] = APP .. [[
            app:proxy("/a/*", { "nowhere.example:80", "10.0.0.1:80", "[::1]:80", "unix:/x" })
            app:proxy("/b/*", { "nowhere.example:81", "known.example:80" })
            return app]] }
        assert.is_true(is_served)
        assert.same({ "nowhere.example", "known.example" }, asked)
        assert.same({ 'warning 3:upstream "nowhere.example:80": the name "nowhere.example" is not known: no such name' }, lines)
    end)
end)
