-- GET /
local mg = require "moongate"
local app = mg.app()

app:get("/", function(req) return 200, 42 end)
return app
