local mg = require "moongate"
local app = mg.app()

app:get("/", function(req) return req.heders["user-agent"] end)
return app
