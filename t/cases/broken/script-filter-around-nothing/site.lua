local mg = require "moongate"
local app = mg.app()

app:get("/", function(req) return "hello" end)
app:filter("/admin/*", function(req, next) return next(req) end)
return app
