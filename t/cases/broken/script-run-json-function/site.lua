-- GET /
local mg = require "moongate"
local app = mg.app()

app:get("/", function(req) return { name = "x", run = print } end)
return app
