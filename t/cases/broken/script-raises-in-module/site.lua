local mg = require "moongate"
local app = mg.app()

local db = require "db"
app:get("/", function(req) return "x" end)
return app
