local mg = require "moongate"
local app = mg.app()

local db = require "db.lua"
app:get("/", function(req) return db.get("x") end)
return app
