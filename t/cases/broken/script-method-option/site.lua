local mg = require "moongate"
local app = mg.app()

app:get("/", { methods = "POST" }, function(req) return "hello" end)
return app
