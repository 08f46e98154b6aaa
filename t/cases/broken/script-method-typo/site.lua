local mg = require "moongate"
local app = mg.app()

app:gett("/", function(req) return "hello" end)
return app
