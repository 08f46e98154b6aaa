local mg = require "moongate"
local app = mg.app()

local function home(req) return nil end
app:get("/", home())
return app
