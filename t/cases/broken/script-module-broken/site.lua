local mg = require "moongate"
local app = mg.app()

local db = require "db"
local cache = require "cache"
app:get("/", function(req) return db.get("x") end)
app:get("y", function(req) return cache.get("y") end)
return app
