local mg = require "moongate"
local app = mg.app()

local db = require "db"
app:get("/", function(req) return db.get("x") end)
app:get("y", function(req) return "y" end)
return app
