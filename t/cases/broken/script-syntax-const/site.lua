local mg = require "moongate"
local app = mg.app()

const greeting = "hello"
app:get("/", function(req) return greeting end)
return app
