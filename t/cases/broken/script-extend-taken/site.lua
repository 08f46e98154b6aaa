local mg = require "moongate"
local app = mg.app()

app:extend_request("path", function(req) return "x" end)
app:extend_request("user", "ann")
app:get("/", function(req) return req.user end)
return app
