--- Editing live, from the outside: a site and its modules are saved, broken and mended while requests go on; nobody asks for a reload.
local instance = require "t.support.instance"
local process = require "t.support.process"
local server = require "t.support.server"

local SITE = [[
local part = require "part"
local app = require "moongate".app()
app:get("/", function(req) return "site " .. part.text end)
return app
]]

describe("a site that is watched", function()
    local s

    local function put(name, text)
        process.write_file(s.site .. "/" .. name .. "~", text)
        assert(os.rename(s.site .. "/" .. name .. "~", s.site .. "/" .. name))
    end

    local function serves(text)
        instance.wait_until(function() return s:get("/").body == text end, 10)
    end

    before_each(function()
        instance.begin()
        server.binary = instance.real
        local folder = server.folder { ["site.lua"] = SITE, ["part.lua"] = 'return { text = "one" }\n' }
        s = instance.start("", { file = folder .. "/site.lua", args = { "--watch" }, workers = 2 })
        s.site = folder
    end)
    after_each(instance.sweep)

    it("serves what is saved, in the file itself or a module; others in the folder are no reason", function()
        serves "site one"
        put("part.lua", 'return { text = "two" }\n')
        serves "site two"
        put("notes.txt", "not loaded by anybody")
        put("site.lua", (SITE:gsub('"site "', '"place "')))
        serves "place two"
        instance.wait_until(function() return instance.status(s.name).reload.state == "idle" end)
        assert.equal(3, instance.status(s.name).generation)
        s:stop()
    end)

    it("tells what is broken in the log, serves on, and goes live when it is mended", function()
        put("part.lua", "return { text = \n")
        s:wait_log("error reload: [^\n]*part%.lua:2: [^\n]+\n.*error reload %(a file has changed%): nothing has changed: generation 1 serves on\n")
        assert.equal("site one", s:get("/").body)
        put("part.lua", 'return { text = "mended" }\n')
        serves "site mended"
        s:stop()
    end)

    it("goes live when a module that was missing appears", function()
        put("site.lua", SITE:gsub('require "part"', 'require "deep.part"'))
        s:wait_log("error reload %(a file has changed%): nothing has changed")
        assert(os.execute(("mkdir '%s/deep'"):format(s.site)))
        put("deep/part.lua", 'return { text = "deep" }\n')
        serves "site deep"
        s:stop()
    end)

    it("drops nobody: clients on open connections see only good answers through fifty saves", function()
        local clients = {}
        for at = 1, 16 do clients[at] = s:connect() end
        for save = 1, 50 do
            put("part.lua", ('return { text = "%d" }\n'):format(save))
            if save % 5 == 0 then instance.run { "reload", "--name", s.name } end
            for _, client in ipairs(clients) do assert.matches("^site %w+$", client:get("/").body) end
        end
        serves "site 50"
        s:stop()
    end)
end)

describe("moongate explain of a running instance", function()
    before_each(function()
        instance.begin()
        server.binary = instance.real
    end)
    after_each(instance.sweep)

    it("says what the generation in service does with a request", function()
        local file = instance.config((SITE:gsub('require "part"', '{ text = "" }')))
        local s = instance.start("", { file = file })
        local code, out, err = instance.run { "explain", "GET", "/", "--name", s.name }
        assert.same({ 0, "" }, { code, err })
        assert.matches("goes to GET /, written at [^\n]*site%.lua:3\n", out)
        process.write_file(file, "\n\n" .. SITE:gsub('require "part"', '{ text = "" }'))
        assert.equal(0, (instance.run { "reload", "--name", s.name }))
        code, out = instance.run { "explain", "GET", "/", "--json", "--name", s.name }
        assert.equal(0, code)
        assert.matches("site%.lua:5$", require "cjson".decode(out).route.where)
        code, out, err = instance.run { "explain", "GET", "/" .. ("x"):rep(5000), "--name", s.name }
        assert.same({ 2, "", "moongate: explain: the request is too long to be asked about\n" }, { code, out, err })
        s:stop()
    end)

    it("is explained when none runs", function()
        local code, _, err = instance.run { "explain", "GET", "/" }
        assert.same({ 4, "moongate: no instance is running\n" }, { code, err })
    end)
end)
