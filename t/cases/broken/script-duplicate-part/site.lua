local mg = require "moongate"
local app = mg.app()

app:route("/x", { methods = { "GET", "POST" } }, function(req) return "one" end)
app:route("/x", { methods = { "POST", "PUT" } }, function(req) return "two" end)
return app
