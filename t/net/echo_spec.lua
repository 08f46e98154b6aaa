--- t/net/echo.c: an echo server and clients that check every byte, under exhaustion, under sanitizers and with fault points.
local lfs = require "lfs"
local process = require "t.support.process"
local c = require "t.support.c"

local folder
local WARNINGS = "-std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror"

--- Compiles the program with the rooms that it needs; its path.
local function compile(name, flags)
    local words = { "cc" }
    for word in (WARNINGS .. " " .. flags .. " -I" .. c.root .. "/src -o " .. folder .. "/" .. name .. " " .. c.root .. "/t/net/echo.c"):gmatch("%S+") do
        words[#words + 1] = word
    end
    for _, room in ipairs { "base", "net" } do
        for file in lfs.dir(c.root .. "/src/" .. room) do
            if file:match("%.c$") then words[#words + 1] = ("%s/src/%s/%s"):format(c.root, room, file) end
        end
    end
    words[#words + 1] = "-luring"
    words[#words + 1] = "-lm"
    words[#words + 1] = "-lpthread"
    local code, _, errors = process.run(words, 100)
    assert(code == 0, errors)
    return folder .. "/" .. name
end

--- Runs it; the numbers that it printed.
local function echo(command, faults)
    command.env = { MG_FAULTS = faults or false, ASAN_OPTIONS = "detect_leaks=1" }
    local code, output, errors = process.run(command, 60)
    assert(code == 0, ("exit code %s: %s"):format(tostring(code), errors))
    local numbers = {}
    for name, value in output:gmatch("([%w_]+)=(%d+)") do numbers[name] = tonumber(value) end
    return numbers
end

describe("an echo", function()
    setup(function() folder = process.folder() end)
    teardown(function() process.remove_folder(folder) end)

    describe("under AddressSanitizer and UndefinedBehaviorSanitizer", function()
        local program
        setup(function() program = compile("asan", "-g -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined") end)

        it("brings every byte back to where it came from, with 200 connections over 8 buffers", function()
            local facts = echo { program, "200", "8" }
            assert.equal(600, facts.accepted)
            assert.is_true(facts.no_buffers > 0)
        end)

        it("does so over a single buffer, and over more than it needs", function()
            assert.is_true(echo({ program, "40", "1", "20000" }).no_buffers > 0)
            assert.equal(0, echo({ program, "4", "512", "20000" }).no_buffers)
        end)
    end)

    describe("with fault points", function()
        local program
        setup(function() program = compile("faults", "-g -O1 -DMG_FAULTS=1 -fsanitize=address,undefined -fno-sanitize-recover=undefined") end)

        for _, faults in ipairs { "short-send:2", "short-send:3,no-block:5", "no-buffer:2", "receive-end:1", "receive-end:2,no-buffer:3,no-block:4,short-send:5" } do
            it("brings every byte back under " .. faults, function()
                assert.equal(90, echo({ program, "30", "16", "20000" }, faults).accepted)
            end)
        end

        it("is hit where it was told to be", function()
            assert.equal(0, echo({ program, "4", "512", "20000" }).no_buffers)
            assert.is_true(echo({ program, "4", "512", "20000" }, "no-buffer:2").no_buffers > 0)
            local code, _, errors = process.run({ program, "1", "8", "100", env = { MG_FAULTS = "no-buffer" } }, 20)
            assert.equal(134, code)
            assert.matches("must hold, does not: .*at%[bytes%] == ':'", errors)
        end)
    end)
end)
