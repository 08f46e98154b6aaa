--- math.random() gave the same numbers in every worker, and again after every start.
local server = require "t.support.server"

local SITE = [==[
local app = require("moongate").app()
local first = tostring(math.random(2 ^ 31))
app:get("/", function() return first end)
return app
]==]

describe("random numbers of scripts", function()
    after_each(server.sweep)

    it("are others in each worker and after each start", function()
        local seen, count = {}, 0
        for _ = 1, 3 do
            local s = server.start { script = SITE }
            local number = s:get("/").body
            assert.is_nil(seen[number])
            seen[number], count = true, count + 1
            s:stop()
        end
        assert.equal(3, count)
        local s, numbers, different = server.start { script = SITE, workers = 2 }, {}, 0
        for _ = 1, 200 do
            local number = s:get("/").body
            if not numbers[number] then different = different + 1 end
            numbers[number] = true
            if different == 2 then break end
        end
        assert.equal(2, different)
        s:stop()
    end)
end)
