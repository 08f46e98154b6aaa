-- GET /
local mg = require "moongate"
local app = mg.app()

app:get("/", function(req) mg.raise("sold-out", "try later") end)
return app
