local mg = require "moongate"
local app = mg.app()

local message = "hello"
app:get("/", function(req) return mesage end)
return app
