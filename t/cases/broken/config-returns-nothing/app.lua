local mg = require "moongate"
local app = mg.app()

app:get("/", function(req) return "hello" end)

return app
