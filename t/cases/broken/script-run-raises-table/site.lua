-- GET /
local mg = require "moongate"
local app = mg.app()

app:get("/", function(req) error({ 1, 2 }) end)
return app
