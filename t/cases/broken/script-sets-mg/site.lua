local mg = require "moongate"
local app = mg.app()

mg.version = "1"
app:get("/", function(req) return mg.version end)
return app
