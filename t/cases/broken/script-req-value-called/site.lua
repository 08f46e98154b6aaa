local mg = require "moongate"
local app = mg.app()

app:get("/", function(req) return req:path() end)
return app
