--- Broken configs and broken scripts, and the whole of what is said about each: t/cases/broken/NAME/site.lua and expected.txt beside it.
--- A site.lua that begins with `-- GET /path` is served and asked, and what the log says is compared; one that begins with `-- run` is started;
--- all others are checked. Paths are relative, times, ids and pids are left out, so that the texts are the same everywhere.
---
--- After a deliberate change: `MG_GOLDEN=write MG_BUILD=build luajit t/support/spec.lua t/conf/broken_spec.lua` writes every expected.txt anew.
--- Read the difference (`git diff t/cases/broken`) as a newcomer would before it is committed.
local process = require "t.support.process"
local server = require "t.support.server"

local ROOT = "t/cases/broken"
local WRITES = os.getenv("MG_GOLDEN") == "write"

local function names()
    local list, listing = {}, assert(io.popen("ls " .. ROOT))
    for name in listing:lines() do list[#list + 1] = name end
    listing:close()
    return list
end

local function folder_of(name)
    return require("posix.unistd").getcwd() .. "/" .. ROOT .. "/" .. name
end

--- What differs from run to run.
local function steady(text)
    return (text:gsub("%d+%-%d+%-%d+T[%d:.]+Z (%a+) worker %d+", "%1"):gsub("request %x+%-%x+", "request ID"):gsub("log is %x+%-%x+", "log is ID")
        :gsub("127%.0%.0%.1:%d%d%d%d%d?", "127.0.0.1:PORT"):gsub("[^\n]* serves [^\n]*\n", "")
        :gsub("%d+%-%d+%-%d+T[%d:.]+Z info [^\n]*\n", ""))
end

local function run(folder, ...)
    local code, out, err = process.run({ server.binary, cwd = folder, ... }, 20)
    return ("%s%sexit code %s\n"):format(err, out, tostring(code))
end

--- Serves the site, asks, and gives the answer's first line and the log.
local function ask(folder, target)
    local s = server.start { file = "site.lua", cwd = folder }
    local response = s:get(target)
    return response.body:match("^[^\n]*") .. "\n" .. s:stop()
end

local function told(name)
    local folder = folder_of(name)
    local first = process.read_file(folder .. "/site.lua"):match("^[^\n]*")
    local target = first:match("^%-%- GET (%S+)")
    if target then return steady(ask(folder, target)) end
    if first:match("^%-%- run") then
        return steady(run(folder, "run", "site.lua", "--listen=127.0.0.1:0", "--workers=1", "--name=broken-" .. name))
    end
    return run(folder, "check", "site.lua")
end

describe("what is said of a broken site", function()
    after_each(server.sweep)

    for _, name in ipairs(names()) do
        it("is what its file says: " .. name, function()
            local text, path = told(name), folder_of(name) .. "/expected.txt"
            if WRITES then process.write_file(path, text) end
            assert.equal(process.read_file(path), text)
            assert.is_nil(text:find("moongate/%l+%.lua"), "one of our own files is named")
            assert.is_nil(text:find("0x%x+"), "an address is named")
        end)
    end

    it("is there for fifty configs and fifty scripts", function()
        local count = { config = 0, script = 0 }
        for _, name in ipairs(names()) do
            local kind = name:match("^%l+")
            count[kind] = count[kind] + 1
        end
        assert.is_true(count.config >= 50)
        assert.is_true(count.script >= 50)
    end)
end)
