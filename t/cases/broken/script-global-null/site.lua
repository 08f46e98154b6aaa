local mg = require "moongate"
local app = mg.app()

app:get("/", function(req) return { name = null, ok = True } end)
return app
