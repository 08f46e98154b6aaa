-- GET /
local mg = require "moongate"
local app = mg.app()

app:get("/", function(req) return "hello", 200 end)
return app
