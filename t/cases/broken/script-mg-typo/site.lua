local mg = require "moongate"
local app = mg.app()

app:get("/", function(req) return mg.jsonn { ok = true } end)
return app
