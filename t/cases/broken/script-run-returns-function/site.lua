-- GET /
local mg = require "moongate"
local app = mg.app()

app:get("/", function(req) return mg.text end)
return app
