-- GET /
local mg = require "moongate"
local app = mg.app()

app:get("/", function(req) return 1000, "hello" end)
return app
