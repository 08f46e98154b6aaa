local mg = require "moongate"
local app = mg.app()

app:filter("/admin/*")
app:get("/admin/x", function(req) return "x" end)
return app
