-- GET /
local mg = require "moongate"
local app = mg.app()

app:get("/", function(req) error("no stock") end)
return app
