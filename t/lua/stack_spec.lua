require("t.support.fake_abi").install()
local stack = require "moongate.stack"

describe("a traceback", function()
    it("has the frames of the script alone", function()
        assert.equal("site.lua:4: boom\nstack traceback:\n\tsite.lua:4: in function 'f'\n\tsite.lua:9: in function <site.lua:8>",
            stack.clean("site.lua:4: boom\nstack traceback:\n\t[C]: in function 'error'\n\tsite.lua:4: in function 'f'\n"
                .. "\tsite.lua:9: in function <site.lua:8>\n\tmoongate/stack.lua:25: in function 'x'\n\tmoongate.dispatcher:21: in function <x>"))
    end)

    it("is left out where the message says all of it", function()
        assert.equal("site.lua:4: boom", stack.clean("site.lua:4: boom\nstack traceback:\n\tsite.lua:4: in function <site.lua:1>\n\t[C]: ?"))
        assert.equal("boom", stack.clean("boom\nstack traceback:\n\tmoongate.filter:1: in function <x>"))
        assert.equal("boom", stack.clean("boom"))
    end)

    it("is bounded, and a recursion is shown once", function()
        local frames = {}
        for at = 1, 40 do frames[at] = "\tsite.lua:" .. math.max(at, 10) .. ": in function 'f'" end
        local text = stack.clean("site.lua:1: deep\nstack traceback:\n" .. table.concat(frames, "\n"))
        assert.equal(13, select(2, text:gsub("\n", "")))
        assert.equal(1, select(2, text:gsub("site.lua:10:", "")))
    end)
end)

describe("a value that was raised", function()
    it("is shown as what is in it, never as an address", function()
        for text, value in pairs { ["raised the table [1]"] = { 1 }, ['raised the table {"a":"b"}'] = { a = "b" }, ["plain"] = "plain",
            ["raised the number 7"] = 7, ["raised the boolean true"] = true, ["its own words"] = setmetatable({}, { __tostring = function()
                return "its own words" end }), ["raised a table"] = { print }, ["a value that cannot be shown"] = setmetatable({}, { __tostring = error }) } do
            assert.equal(text, stack.shown(value))
        end
        assert.equal("raised a table", stack.shown { ("x"):rep(300) })
        assert.equal("nil was raised: error() takes a message", stack.shown(nil))
    end)

    it("is named by its kind or its status", function()
        assert.equal('raised "sold-out": try later', stack.answer("sold-out", "try later"))
        assert.equal("raised 503", stack.answer(503))
    end)
end)
