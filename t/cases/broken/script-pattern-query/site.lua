local mg = require "moongate"
local app = mg.app()

app:get("/search?q=:q", function(req) return "hello" end)
return app
