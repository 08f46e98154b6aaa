local mg = require "moongate"
local app = mg.app()

app:get("/users/{id}", function(req) return req.params.id end)
return app
