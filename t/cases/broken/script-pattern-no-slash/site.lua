local mg = require "moongate"
local app = mg.app()

app:get("hello", function(req) return "hello" end)
return app
