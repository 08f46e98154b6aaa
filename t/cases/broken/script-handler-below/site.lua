local mg = require "moongate"
local app = mg.app()

app:get("/", home)

local function home(req) return "hello" end
return app
