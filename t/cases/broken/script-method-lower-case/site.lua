local mg = require "moongate"
local app = mg.app()

app:route("/", { methods = { "get", "post" } }, function(req) return "hello" end)
return app
