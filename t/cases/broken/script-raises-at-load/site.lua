local mg = require "moongate"
local app = mg.app()

local file = assert(io.open("secret.txt"))
app:get("/", function(req) return file:read("*a") end)
return app
