local mg = require "moongate"
local app = mg.app()

app:get("/users/:id", function(req) return "one" end)
app:get("/users/:name", function(req) return "two" end)
return app
