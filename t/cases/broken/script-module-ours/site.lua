local mg = require "moongate"
local app = mg.app()

local files = require "moongate.file"
app:get("/", function(req) return files.read("x") end)
return app
