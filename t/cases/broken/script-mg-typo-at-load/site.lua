local mg = require "moongate"
local app = mg.app()

local handler = mg.hmtl("<p>hello</p>")
app:get("/x", function(req) return handler end)
app:get("y", function(req) return handler end)
return app
