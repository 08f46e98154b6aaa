local locate = require "moongate.locate"

--- The place of a path, as "line:column"; "none" when it is not found.
local function place(text, path)
    local line, column = locate.new(text):position(path)
    return line and ("%d:%d"):format(line, column) or "none"
end

describe("locate", function()
    local text = [==[
local mg = require "moongate" -- return { listen = 1 }
local tight = { head = "1k", ["line"] = 5 }
local names = [[ return { listen = 2 } ]]
return {
  listen = { "a", "b = {", 'c' },
  app = mg.app { listen = 3 },
  limits = {
    head = 1, --[[ body = 2, ]] body = 3;
    ["idle"] = (4),
  },
  start = function() local listen = { limits = { idle = 1 } } if x then y = 1 end end,
  hosts = { ["*.example.org"] = "x" },
  tight = tight,
  last = true,
}
]==]

    it("finds keys at every depth, past comments, strings, calls and functions", function()
        for path, expected in pairs {
            ["listen"] = "5:3", ["listen[1]"] = "5:14", ["listen[2]"] = "5:19", ["listen[3]"] = "5:28", ["app"] = "6:3",
            ["limits"] = "7:3", ["limits.head"] = "8:5", ["limits.body"] = "8:33", ["limits.idle"] = "9:6",
            ['hosts["*.example.org"]'] = "12:14", ["last"] = "14:3",
        } do
            assert.equal(expected, place(text, path), path)
        end
    end)

    it("follows an entry to the table that it names", function()
        assert.equal("2:17", place(text, "tight.head"))
        assert.equal("2:31", place(text, "tight.line"))
    end)

    it("names the nearest key around one that is not written, or nothing", function()
        assert.equal("7:3", place(text, "limits.window"))
        assert.equal("5:3", place(text, "listen[9]"))
        assert.equal("none", place(text, "drain"))
    end)

    it("reads a table that is named before it is returned", function()
        local named = "local config = {\n  listen = 1,\n  limits = {},\n}\nconfig.drain = 'x'\nconfig.limits.head = 2\nreturn config\n"
        assert.equal("2:3", place(named, "listen"))
        assert.equal("5:1", place(named, "drain"))
        assert.equal("6:1", place(named, "limits.head"))
    end)

    it("ends on any text, also one that is not Lua", function()
        for at = 1, #text do locate.new(text:sub(1, at)) end
        for _, broken in ipairs { "", "{{{", "}}}", "end end", '"', "[[", "--[[", "return", "return {", "x.", "[", "a = = {" } do
            assert.equal("none", place(broken, "listen"))
        end
    end)
end)
