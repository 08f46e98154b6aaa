local mg = require "moongate"
local app = mg.app()

app:get("/files/*name/raw", function(req) return "hello" end)
return app
