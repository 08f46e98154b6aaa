local mg = require "moongate"
local app = mg.app()

app:get("/:id/:id", function(req) return "hello" end)
return app
