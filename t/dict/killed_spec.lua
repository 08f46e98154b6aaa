--- t/dict/killed.c: dictionaries whose writers are killed, at random under load and after each instruction.
local lfs = require "lfs"
local process = require "t.support.process"
local c = require "t.support.c"

local folder

--- Compiles the program with the rooms that it needs; its path.
local function compile(name, flags)
    local words = { "cc" }
    local all = "-std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -g " .. flags .. " -I" .. c.root .. "/src -o " .. folder .. "/" .. name
    for word in (all .. " " .. c.root .. "/t/dict/killed.c"):gmatch("%S+") do words[#words + 1] = word end
    for file in lfs.dir(c.root .. "/src/dict") do
        if file:match("%.c$") then words[#words + 1] = c.root .. "/src/dict/" .. file end
    end
    for _, word in ipairs { c.root .. "/src/base/must.c", c.root .. "/src/base/siphash.c", "-lm", "-lpthread" } do words[#words + 1] = word end
    local code, _, errors = process.run(words, 100)
    assert(code == 0, errors)
    return folder .. "/" .. name
end

--- Runs it; the numbers that it printed.
local function run(command)
    local code, output, errors = process.run(command, 60)
    assert(code == 0, ("exit code %s: %s"):format(tostring(code), errors))
    local numbers = {}
    for name, value in output:gmatch("([%w_]+)=(%d+)") do numbers[name] = tonumber(value) end
    return numbers
end

describe("a dictionary whose writer is killed", function()
    setup(function() folder = process.folder() end)
    teardown(function() process.remove_folder(folder) end)

    it("is as before or as after, whichever instruction was the last", function()
        local numbers = run { compile("steps", "-O2"), "steps" }
        for what = 0, 9 do
            assert.is_true(numbers["steps" .. what] > 300, "change " .. what)
            assert.is_true(numbers["repaired" .. what] > 0, "change " .. what)
        end
    end)

    it("stays whole under load, with workers killed again and again", function()
        local numbers = run { compile("load", "-O2"), "load", "150" }
        assert.equal(150, numbers.kills)
        assert.is_true(numbers.repaired > 0)
        assert.is_true(numbers.entries > 0)
    end)

    it("stays whole under sanitizers", function()
        local numbers = run { compile("sanitized", "-O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined"), "load", "40" }
        assert.is_true(numbers.kills == 40)
    end)
end)
