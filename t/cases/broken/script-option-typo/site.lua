local mg = require "moongate"
local app = mg.app()

app:get("/", { wen = function(req) return true end }, function(req) return "hello" end)
return app
