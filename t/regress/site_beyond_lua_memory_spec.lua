--- A site that takes more than limits.lua_memory by itself was started and reloaded all the same: workers ended again and again with a word
--- about a start hook that there was none, or answered every request with 503.
local server = require "t.support.server"

local function site(mib, limit, more)
    return ([==[
local app = require("moongate").app()
local kept = {}
for i = 1, %d do kept[i] = ("x"):rep(2 ^ 20) .. i end
app:get("/", function() return "kept " .. #kept end)
%s
return { app = app, limits = { lua_memory = "%dm" } }
]==]):format(mib, more or "", limit)
end

describe("a site that takes more memory than scripts may have", function()
    after_each(server.sweep)

    it("is refused by check, with the place and what to write", function()
        local folder = server.folder { ["app.lua"] = site(40, 32) }
        local code, _, err = server.run { "check", folder .. "/app.lua" }
        assert.equal(1, code)
        assert.matches("app%.lua:6:%d+: limits%.lua_memory: 32m are not enough: the site itself takes 4%d MiB as soon as it has loaded", err)
        assert.matches('lua_memory = "%d+m"', err)
        assert.equal(0, (server.run { "check", server.folder { ["app.lua"] = site(40, 128) } .. "/app.lua" }))
    end)

    it("is not started", function()
        local folder = server.folder { ["app.lua"] = site(40, 32) }
        local code, _, err = server.run({ "run", folder .. "/app.lua", "--listen", "127.0.0.1:0", "--workers", "1" }, 20)
        assert.equal(1, code)
        assert.matches("limits%.lua_memory: 32m are not enough", err)
    end)

    it("is not taken by a reload, and what serves goes on", function()
        local s = server.start { script = site(1, 32) }
        require("t.support.process").write_file(s.file, site(40, 32))
        local code, out, err = server.run { "reload", "--name", s.name }
        assert.equal(1, code)
        assert.matches("limits%.lua_memory: 32m are not enough", out .. err)
        assert.equal("kept 1", s:get("/").body)
        s:stop()
    end)

    it("says so of a start hook that takes it all", function()
        local folder = server.folder { ["app.lua"] = site(1, 32, [[app:on_start(function()
    for i = 1, 4e5 do kept[i] = { i } end
end)]]) }
        local code, _, err = server.run({ "run", folder .. "/app.lua", "--listen", "127.0.0.1:0", "--workers", "1" }, 20)
        assert.equal(6, code)
        assert.matches("on_start", err)
        assert.matches("not enough memory: Lua has %d+%.%d MiB of 32%.0", err)
        assert.is_nil(err:find("waited", 1, true), err)
    end)
end)
