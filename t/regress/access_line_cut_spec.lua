--- Long fields full of bytes that are escaped cut the line of the JSON access log before its end: it was no JSON, and the next line was glued on.
local json = require "cjson"
local server = require "t.support.server"

describe("the access log", function()
    after_each(server.sweep)

    for _, format in ipairs { "json", "combined" } do
        it("has a whole line for a request with the longest values, as " .. format, function()
            local s = server.start { script = ([[
                local app = require "moongate".app()
                app:get("/*", function() return "ok" end)
                return { app = app, log = { format = "%s", access = "-" } }
            ]]):format(format) }
            local c = s:connect()
            local high = ("\xe4"):rep(1100)
            assert.equal(200, c:get("/first/" .. ("a"):rep(1100), { referer = high, ["user-agent"] = high }).status)
            assert.equal(200, c:get("/second").status)
            c:close()
            local lines = {}
            for line in s:stop():gmatch("[^\n]+") do
                if line:find("/first", 1, true) or line:find("/second", 1, true) then lines[#lines + 1] = line end
            end
            assert.equal(2, #lines)
            assert.is_nil(lines[1]:find("/second", 1, true))
            if format == "json" then
                assert.equal(1024 * 2, #json.decode(lines[1]).agent) -- each byte a character of two in UTF-8
                assert.equal("/second", json.decode(lines[2]).target)
            end
        end)
    end
end)
