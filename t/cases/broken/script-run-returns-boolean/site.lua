-- GET /
local mg = require "moongate"
local app = mg.app()

app:get("/", function(req) return true end)
return app
