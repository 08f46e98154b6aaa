local mg = require "moongate"
local app = mg.app()

// says hello
app:get("/", function(req) return "hello" end)
return app
