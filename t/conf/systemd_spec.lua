--- The units under conf/systemd: what systemd itself says of them, with the program of this build in place of the installed one.
local lfs = require "lfs"
local process = require "t.support.process"
local server = require "t.support.server"

after_each(server.sweep)

local EXPOSURE_MOST = 2.0 -- of 10, as systemd-analyze(1) reckons

local function analyze()
    for folder in (os.getenv("PATH") or ""):gmatch("[^:]+") do
        if lfs.attributes(folder .. "/systemd-analyze") then return folder .. "/systemd-analyze" end
    end
    return nil
end

--- The units in a folder of their own, with our program.
local function units()
    local folder = server.folder()
    local program = server.binary:sub(1, 1) == "/" and server.binary or lfs.currentdir() .. "/" .. server.binary
    for _, name in ipairs { "moongate.service", "moongate.socket" } do
        process.write_file(folder .. "/" .. name, (process.read_file("conf/systemd/" .. name):gsub("/usr/bin/moongate", program)))
    end
    return folder
end

describe("the systemd units", function()
    it("name a program, a way to reload and a limit that leaves time to drain", function()
        local text = process.read_file("conf/systemd/moongate.service")
        assert.matches("\nType=notify\n", text)
        assert.matches("\nExecStart=/usr/bin/moongate run ", text)
        assert.matches("\nExecReload=/usr/bin/moongate reload ", text)
        assert.is_true(tonumber(text:match("\nTimeoutStopSec=(%d+)\n")) >= 35)
    end)

    it("are in order and closely fenced, as systemd sees it", function()
        local program = analyze()
        if not program then return end -- a machine without systemd: the spec above is all that can be said
        local folder = units()
        local code, out, err = process.run({ program, "verify", folder .. "/moongate.service", folder .. "/moongate.socket" }, 20)
        assert.equal(0, code, out .. err)
        assert.equal("", (out .. err):gsub("[^\n]*%f[%w]proc%f[%W][^\n]*\n", ""))
        code, out = process.run({ program, "security", "--offline=true", "--no-pager", folder .. "/moongate.service" }, 20)
        assert.equal(0, code, out)
        local level = tonumber(out:match("exposure level for moongate%.service: ([%d.]+)"))
        assert.is_true(level and level <= EXPOSURE_MOST, out:match("[^\n]*exposure level[^\n]*") or out)
    end)
end)
