local mg = require "moongate"
local app = mg.app()

app:post("/", function(req) return req.body end)
return app
