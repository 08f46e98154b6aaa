-- GET /
local mg = require "moongate"
local app = mg.app()

app:get("/", function(req) return nil, "the database is down" end)
return app
