local mg = require "moongate"
local app = mg.app()

app:get("/100%", function(req) return "hello" end)
return app
