local mg = require "moongate"
local app = mg.app()

local a = require "a"
app:get("/", function(req) return a.x end)
return app
