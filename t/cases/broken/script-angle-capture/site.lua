local mg = require "moongate"
local app = mg.app()

app:get("/users/<int:id>/posts", function(req) return req.params.id end)
return app
