-- GET /
local mg = require "moongate"
local app = mg.app()

app:get("/", function(req) error() end)
return app
