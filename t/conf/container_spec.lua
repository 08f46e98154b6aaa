--- Containerfile: what can be said of it without a container engine.
local process = require "t.support.process"
local server = require "t.support.server"

local text = process.read_file("Containerfile")

describe("the Containerfile", function()
    after_each(server.sweep)

    it("builds with the packages that the Debian package asks for", function()
        local wanted = process.read_file("debian/control"):match("Build%-Depends:(.-)\n%u")
        local first = text:match("apt%-get install(.-)\nCOPY")
        for package in wanted:gmatch("[%s,]([%l%d][%w.+-]+)[%s,(]") do
            if package ~= "libluajit-5.1-dev" and package ~= "debhelper-compat" then assert.is_truthy(first:find(package, 1, true), package) end
        end
    end)

    it("has the default config listen on all addresses, and that is sound", function()
        local expression = text:match("RUN sed %-i '([^\n]*)' /etc/moongate/moongate.lua")
        local folder = server.folder()
        assert(os.execute(("cp -r conf/* %s/"):format(folder)) == 0)
        local code, _, err = process.run({ "sed", "-i", expression, folder .. "/moongate.lua" }, 5)
        assert.equal(0, code, err)
        local code2, out = process.run({ "diff", "conf/moongate.lua", folder .. "/moongate.lua" }, 5)
        assert.equal(1, code2)
        assert.equal(1, select(2, out:gsub("\n> ", "")))
        assert.matches('\n> +listen = { ":8080" },\n', out)
        assert.equal(0, (server.run { "check", folder .. "/moongate.lua" }))
    end)

    it("runs as nobody of importance, on a port that needs no privilege, and asks status whether all is well", function()
        assert.matches("\nUSER moongate\n", text)
        assert.is_true(tonumber(text:match("\nEXPOSE (%d+)\n")) >= 1024)
        assert.matches('\nHEALTHCHECK [^\n]*CMD %["moongate", "status", "%-%-name", "moongate"%]\n', text)
        assert.matches('\nENTRYPOINT %["moongate"%]\nCMD %["run", "/etc/moongate/moongate.lua"%]\n$', text)
    end)
end)
