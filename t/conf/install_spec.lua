--- `meson install` into a folder: what is installed runs from there, and describes itself as its --help does.
local lfs = require "lfs"
local process = require "t.support.process"
local server = require "t.support.server"

local root, build = lfs.currentdir(), os.getenv("MG_BUILD") or "build"
if build:sub(1, 1) ~= "/" then build = root .. "/" .. build end

local function sh(script, ...)
    local code, out, err = process.run({ "sh", "-c", script, "sh", ... }, 60)
    assert.equal(0, code, out .. err)
    return out
end

describe("what is installed", function()
    if not lfs.attributes(build .. "/src/proc/moongate.1") then return pending("only the program was built here") end
    local folder, prefix
    setup(function()
        folder = process.folder()
        sh('DESTDIR="$1" meson install -C "$2" --no-rebuild --quiet', folder, build)
        prefix = folder .. sh([[meson introspect "$1" --buildoptions | sed -n 's/.*"name": "prefix", "value": "\([^"]*\)".*/\1/p']], build):match("%S+")
        if not lfs.attributes(prefix .. "/bin") then prefix = folder .. "/usr/local" end
    end)
    teardown(function() process.remove_folder(folder) end)
    after_each(server.sweep)

    it("is a program that serves the installed config, with its site and files", function()
        local program, binary = prefix .. "/bin/moongate", server.binary
        server.binary = program
        local ok, s = pcall(server.start, { file = prefix .. "/etc/moongate/moongate.lua" })
        server.binary = binary
        assert(ok, s)
        assert.matches("The gate is open", s:get("/").body)
        assert.equal(200, s:get("/assets/style.css").status)
        s:stop()
    end)

    it("leaves a config alone that is there already", function()
        local config = prefix .. "/etc/moongate/moongate.lua"
        local before = process.read_file(config)
        os.remove(config)
        process.write_file(config, "-- mine\n")
        sh('DESTDIR="$1" meson install -C "$2" --no-rebuild --quiet', folder, build)
        assert.equal("-- mine\n", process.read_file(config))
        os.remove(config)
        process.write_file(config, before)
    end)

    it("has units that name the installed program and config", function()
        local unit = process.read_file(prefix .. "/lib/systemd/system/moongate.service")
        local there = prefix:sub(#folder + 1)
        assert.matches("\nExecStart=" .. there .. "/bin/moongate run " .. there .. "/etc/moongate/moongate.lua --name moongate\n", unit, 1, true)
        assert.matches("\nExecReload=" .. there .. "/bin/moongate reload ", unit, 1, true)
        assert.is_nil(unit:find("[^%w]/usr/bin/moongate"))
    end)

    it("has a manual page with every command, option and exit code that --help has", function()
        local page = process.read_file(prefix .. "/share/man/man1/moongate.1"):gsub("\\", "")
        for _, words in ipairs { { "help" }, { "run", "--help" }, { "top", "--help" } } do
            local _, out = server.run(words)
            for option in out:gmatch("\n +%-?%w?,? *(%-%-[%w-]+)") do
                if option ~= "--help" then assert.is_truthy(page:find(option, 1, true), option) end
            end
            for command in out:gmatch("\n  (%l+) [^\n]*%l") do assert.is_truthy(page:find('.SS "' .. command, 1, true), command) end
        end
        local _, codes = server.run { "help", "exit-codes" }
        for code in codes:gmatch("\n  (%d+)") do assert.is_truthy(page:find("\n.B " .. code .. "\n", 1, true), code) end
        if process.run({ "man", "--version" }, 5) == 0 then
            assert.equal("", sh('man --warnings -l "$1" 2>&1 >/dev/null', prefix .. "/share/man/man1/moongate.1"))
        end
    end)

    it("completes commands, their options and the values of these in bash", function()
        local script = [[. "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _moongate; echo "${COMPREPLY[@]}"]]
        local function completed(...)
            local code, out, err = process.run({ "bash", "-c", script, prefix .. "/share/bash-completion/completions/moongate", "moongate", ... }, 10)
            assert.equal(0, code, err)
            return (out:gsub("%s+$", ""))
        end
        assert.equal("reload routes run", (function(words)
            table.sort(words)
            return table.concat(words, " ")
        end)({ completed("r"):match("(%S+) (%S+) (%S+)") }))
        assert.equal("io_uring", completed("run", "--engine", "io"))
        assert.matches("^--watch *", completed("run", "--wat"))
        assert.equal("", completed("stop", "--wat"))
        assert.equal(lfs.currentdir() .. "/conf/site.lua", completed("run", lfs.currentdir() .. "/conf/sit"))
    end)

    it("completes them in zsh as well", function()
        local text = process.read_file(prefix .. "/share/zsh/site-functions/_moongate")
        assert.matches("^#compdef moongate\n", text)
        if process.run({ "zsh", "-c", "true" }, 5) == 0 then sh('zsh -n "$1"', prefix .. "/share/zsh/site-functions/_moongate") end
        assert.matches("'%-%-engine=%[[^\n]*%]:name:%(auto io_uring epoll%)'", text)
    end)
end)
