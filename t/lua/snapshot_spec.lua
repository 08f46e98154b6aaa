local sites = require "t.support.site"
local evaluate = require "moongate.evaluate"
local snapshot = require "moongate.snapshot"

local APP = 'local app = require("moongate").app()\n'

describe("a snapshot of sources", function()
    it("holds every text as it was, and what was missing", function()
        local made = snapshot.new()
        made:add("a.lua", "return 1\n")
        made:add("empty.lua", "")
        made:add("file 3 4\n", "none 1\nend\n\0\r\n")
        made:add("gone.lua", false)
        made:add("a.lua", "another")
        local again = snapshot.decode(made:encode())
        assert.same(made, again)
        assert.same({ "a.lua", "empty.lua", "file 3 4\n", "gone.lua" }, again.paths)
        assert.equal("return 1\n", again.files["a.lua"])
        assert.is_false(again.files["gone.lua"])
    end)

    it("is refused unless it is whole", function()
        local made = snapshot.new()
        made:add("a.lua", "return 1\n")
        made:add("b.lua", false)
        local bytes = made:encode()
        for cut = 0, #bytes - 1 do assert.is_nil(snapshot.decode(bytes:sub(1, cut)), cut) end
        assert.is_nil(snapshot.decode(bytes .. "x"))
        assert.is_nil(snapshot.decode((bytes:gsub("file 5 9", "file 5 8"))))
        assert.is_nil(snapshot.decode((bytes:gsub("file 5 9", "file 5 99999999999"))))
    end)
end)

describe("evaluating from a snapshot", function()
    local site
    after_each(function()
        if site then site:remove() end
        site = nil
    end)

    it("takes nothing from the disk that it knows", function()
        site = sites.new { ["conf.lua"] = "return { app = 'site.lua' }", ["site.lua"] = APP .. "local lib, extra = require 'lib', dofile('" .. "FOLDER"
            .. "/extra.lua')\napp:get(lib .. extra, print)\napp:files('/f/*', 'public')\nreturn app", ["lib.lua"] = "return '/one'", ["public/"] = "" }
        local text = io.open(site:path("site.lua")):read("*a"):gsub("FOLDER", (site.folder:gsub("%%", "%%%%")))
        site:write("site.lua", text)
        site:write("extra.lua", "return '/x'")
        local first = site:file("conf.lua")
        assert.equal("", first.problems:text())
        local sources = snapshot.decode(first.read:encode())
        site:write("site.lua", "broken = = 1")
        site:write("lib.lua", "return '/two'")
        site:write("extra.lua", "return '/y'")
        os.remove(site:path("conf.lua"))
        os.execute("rmdir " .. site:path("public"))
        local again = evaluate.file(site:path("conf.lua"), {}, sources)
        assert.equal("", again.problems:text())
        assert.equal("/one/x", again.apps.routes[1].pattern)
        assert.equal(first.read:encode(), again.read:encode())
    end)

    it("finds no file that was not there when it was made", function()
        site = sites.new { ["site.lua"] = APP .. "app:get(require 'lib', print)\nreturn app", ["lib/init.lua"] = "return '/folder'" }
        local sources = site:file("site.lua").read
        site:write("lib.lua", "return '/file'")
        assert.equal("/folder", evaluate.file(site:path("site.lua"), {}, sources).apps.routes[1].pattern)
        assert.equal("/file", site:file("site.lua").apps.routes[1].pattern)
    end)

    it("looks on the disk for what it does not know", function()
        site = sites.new { ["site.lua"] = APP .. "app:get('/', print)\nreturn app" }
        assert.equal("", evaluate.file(site:path("site.lua"), {}, snapshot.new()).problems:text())
    end)
end)
