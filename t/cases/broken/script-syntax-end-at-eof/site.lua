local mg = require "moongate"
local app = mg.app()

local function helper(x)
    if x then
        return 1
end

app:get("/", helper)
return app
