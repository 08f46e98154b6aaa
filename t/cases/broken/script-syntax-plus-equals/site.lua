local mg = require "moongate"
local app = mg.app()

local count = 0
app:get("/", function(req)
    count += 1
    return "x"
end)
return app
