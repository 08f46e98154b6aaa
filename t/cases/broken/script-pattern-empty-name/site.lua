local mg = require "moongate"
local app = mg.app()

app:get("/users/:", function(req) return "hello" end)
return app
