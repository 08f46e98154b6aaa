--- The examples of lua/README.md for what scripts share and wait for, in the real program.
local process = require "t.support.process"
local server = require "t.support.server"

--- The first example of a section, as a site.
local function example(title)
    local page = process.read_file("lua/README.md")
    local section = assert(page:match("\n## " .. title .. "\n(.-)\n## "), title)
    return 'local mg = require "moongate"\nlocal app = mg.app()\n' .. assert(section:match("```lua\n(.-)```")) .. "return app\n"
end

describe("the example of the section", function()
    after_each(server.sweep)

    it("Tasks that meet", function()
        local s = server.start { script = example "Tasks that meet" }
        assert.equal(202, s:connect():post("/jobs", "the work").status)
        s:wait_log("did the work", 5)
        s:stop()
    end)

    it("Everyday", function()
        local s = server.start { script = example "Everyday" }
        local c = s:connect()
        assert.equal(400, c:post("/login/1").status)
        local cookie = c:post("/login/ada"):get("set-cookie"):match("^[^;]+")
        assert.equal("ada", s:get("/me", { cookie = cookie }).body)
        assert.equal(401, s:get("/me", { cookie = cookie .. "x" }).status)
        s:stop()
    end)

    it("Shared by all workers", function()
        local s = server.start { script = example "Shared by all workers", workers = 2 }
        for visit = 1, 20 do assert.equal("visit " .. visit, s:get("/").body) end
        local c = s:connect()
        assert.equal(429, c:get("/").status)
        s:stop()
    end)
end)
