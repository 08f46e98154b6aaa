--- Mistakes of newcomers over the real program: `check` and `run` say the same, at once, and nothing listens.
local server = require "t.support.server"
local cases = require "t.cases.mistakes"

describe("a mistake", function()
    after_each(server.sweep)

    for _, case in ipairs(cases) do
        local name, text, expected = case[1], case[2], case[3]
        for _, command in ipairs { "check", "run" } do
            it(("is told where it is by %s: %s"):format(command, name), function()
                local file = server.folder { ["site.lua"] = (text:gsub("FILE", "site.lua")) } .. "/site.lua"
                local code, out, err = server.run { command, file, command == "run" and "--listen=127.0.0.1:0" or nil }
                assert.equal(1, code, out .. err)
                local first = (out .. err):match("^[^\n]*")
                local want = expected:gsub("FILE", (file:gsub("%%", "%%%%")))
                assert.equal(want, first:sub(1, #want))
                assert.falsy((out .. err):find("traceback", 1, true))
            end)
        end
    end

    it("of a config is told with all others", function()
        local folder = server.folder { ["site.lua"] = 'return {\n  app = "nope.lua",\n  lisen = ":80",\n  limits = { head = true, bodyy = 1 },\n}\n' }
        local code, _, err = server.run { "check", folder .. "/site.lua" }
        assert.equal(1, code)
        for _, part in ipairs { "site.lua:2:3: app: there is no file", "site.lua:3:3: lisen: unknown key", 'did you mean "listen"?', "limits.head: expected a size",
            "limits.bodyy: unknown key", 'did you mean "body"?', "4 problems" } do
            assert.truthy(err:find(part, 1, true), part .. " is missing in:\n" .. err)
        end
    end)

    it("that never ends is stopped and named within its limit", function()
        local folder = server.folder { ["site.lua"] = "while true do end\n" }
        local code, _, err = server.run({ "check", folder .. "/site.lua" }, 20)
        assert.equal(1, code)
        assert.truthy((err):find("site.lua did not finish loading within 10s and was stopped", 1, true), err)
    end)

    it("in on_start stops the start with its line", function()
        local folder = server.folder { ["site.lua"] = [[
local mg = require "moongate"
local app = mg.app()
app:on_start(function() error("no database") end)
return app
]] }
        local code, _, err = server.run { "run", folder .. "/site.lua", "--listen=127.0.0.1:0", "--workers=1" }
        assert.equal(6, code)
        assert.truthy(err:find("site.lua:3: no database", 1, true), err)
    end)
end)
