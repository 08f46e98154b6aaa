local mg = require "moongate"
local app = mg.app()
app:get("/", function(req) return req.qery end)
return app
