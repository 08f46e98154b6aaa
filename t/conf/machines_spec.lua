--- Machines that Moongate cannot be built for are refused when the build is configured, with the reason.
local process = require "t.support.process"
local server = require "t.support.server"

local CROSS = [[
[binaries]
c = 'cc'
ar = 'ar'
pkg-config = 'pkg-config'
[host_machine]
system = '%s'
cpu_family = '%s'
cpu = '%s'
endian = '%s'
]]

describe("a build", function()
    after_each(server.sweep)

    local function configure(system, family, endian)
        local folder = server.folder { ["cross.ini"] = CROSS:format(system, family, family, endian) }
        local code, out, err = process.run({ "meson", "setup", folder .. "/build", ".", "--cross-file", folder .. "/cross.ini" }, 60)
        return code, out .. err
    end

    for family, endian in pairs { s390x = "big" } do
        it("is refused for the big-endian " .. family, function()
            local code, out = configure("linux", family, endian)
            assert.equal(1, code)
            assert.matches("ERROR: Problem encountered: Moongate cannot be built for " .. family .. ": [^\n]*little%-endian machine %(x86_64, aarch64%)\n", out)
        end)
    end

    for _, family in ipairs { "x86", "arm" } do
        it("is refused for " .. family .. ", which has 32 bits", function()
            local code, out = configure("linux", family, "little")
            assert.equal(1, code)
            assert.matches("ERROR: Problem encountered: Moongate cannot be built for " .. family .. ": it needs a 64%-bit machine [^\n]*\n", out)
        end)
    end

    it("is refused for another system", function()
        local code, out = configure("freebsd", "x86_64", "little")
        assert.equal(1, code)
        assert.matches("Moongate is made for Linux", out, 1, true)
    end)

    it("is not refused for a machine that it is made for", function()
        local _, out = configure("linux", "aarch64", "little")
        assert.is_nil(out:find("Problem encountered", 1, true))
        assert.matches("dependency luajit", out)
    end)
end)
