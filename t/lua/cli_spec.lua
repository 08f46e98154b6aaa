local sites = require "t.support.site"
local json = require "moongate.json"

local APP = 'local app = require("moongate").app()\n'

--- A stream that keeps what is written.
local function recorder()
    local parts = {}
    return { write = function(_, ...) for _, part in ipairs { ... } do parts[#parts + 1] = part end end },
        function() return table.concat(parts) end
end

--- Runs a command on a file: exit code, standard output, standard error.
local function run(site, command, name, options)
    local given = { command = command, file = site:path(name) }
    for key, value in pairs(options or {}) do given[key] = value end
    local out, told = recorder()
    local err, complained = recorder()
    local code = require("moongate.cli_" .. command).run(given, out, err)
    return code, site:short(told()), site:short(complained())
end

describe("the command", function()
    local site
    before_each(function()
        site = sites.new {
            ["good.lua"] = APP .. "local function keep(req, next) return next(req) end\n\napp:filter('/admin/*', keep)\n"
                .. "app:get('/', function() end)\napp:get('/admin/:page', function() end)\napp:any('/*', function() end)\n"
                .. "app:host('b.org'):redirect('/ö', '/new', 301)\nreturn app",
            ["bad.lua"] = "return {\n  lisen = 1,\n  workers = 0,\n}",
        }
    end)
    after_each(function() site:remove() end)

    it("check says in one line that all is well", function()
        local code, out, err = run(site, "check", "good.lua")
        assert.same({ 0, "good.lua: ok: 1 file, 4 routes, 1 filter; listens on 127.0.0.1:8080\n", "" }, { code, out, err })
    end)

    it("check tells every problem and ends with 1", function()
        local code, out, err = run(site, "check", "bad.lua")
        assert.equal(1, code)
        assert.equal("", out)
        assert.matches("bad.lua:2:3: lisen: unknown key\n", err, 1, true)
        assert.matches("bad.lua:3:3: workers: expected", err, 1, true)
        assert.matches("\n3 problems\n$", err)
    end)

    it("check answers machines on standard output, good or bad", function()
        local code, out, err = run(site, "check", "bad.lua", { json = true })
        local told = json.decode(out)
        assert.same({ 1, "" }, { code, err })
        assert.same({ file = "bad.lua", line = 2, column = 3, end_column = 8, key = "lisen", severity = "error", message = "unknown key",
            hint = 'did you mean "listen"?' }, told[1])
        code, out = run(site, "check", "good.lua", { json = true })
        assert.equal(0, code)
        assert.equal("[]\n", out)
    end)

    it("routes shows a table, with the filters around each route", function()
        local code, out = run(site, "routes", "good.lua")
        assert.equal(0, code)
        assert.equal("method host pattern handler filters\nGET * / good.lua:5 -\nGET * /admin/:page good.lua:6 good.lua:4\n"
            .. "* * /* good.lua:7 good.lua:4 (/admin/*)\n* b.org /ö 301 /new (good.lua:8) -\n", (out:gsub(" +", " ")))
    end)

    it("routes aligns its columns by characters, without blanks at the ends", function()
        local rows = {
            { method = "GET", host = "*", pattern = "/ö", handler = "a.lua:1", filters = {}, when = true },
            { method = "*", host = "b.org", pattern = "/long/path/:id", handler = "b.lua:22", filters = { "a.lua:3", "a.lua:4" } },
        }
        assert.equal("method  host   pattern         handler   filters\n"
            .. "GET     *      /ö  when …      a.lua:1   -\n"
            .. "*       b.org  /long/path/:id  b.lua:22  a.lua:3, a.lua:4\n", require("moongate.cli_routes").table_text(rows))
    end)

    it("routes answers machines, and tells problems", function()
        local code, out = run(site, "routes", "good.lua", { json = true })
        local rows = json.decode(out)
        assert.equal(0, code)
        assert.same({ "good.lua:4" }, rows[2].filters)
        assert.matches('"filters":[]', out, 1, true)
        local failed, _, err = run(site, "routes", "bad.lua")
        assert.equal(1, failed)
        assert.matches("unknown key", err)
    end)
end)
