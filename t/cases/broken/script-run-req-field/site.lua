-- GET /
local mg = require "moongate"
local app = mg.app()

local name = "usr"
app:get("/", function(req) return req[name] end)
return app
