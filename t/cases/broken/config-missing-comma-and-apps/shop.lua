local mg = require "moongate"
local app = mg.app()
app:get("/", function(req) return req.pathh end)
app:get("/items", function(req) return itms end)
return app
