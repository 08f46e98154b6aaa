local mg = require "moongate"
local app = mg.app()
app:get("/people", function(req) return { req.user, req.team, req.headrs } end)
return app
