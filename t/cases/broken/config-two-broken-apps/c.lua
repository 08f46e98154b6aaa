local mg = require "moongate"
local app = mg.app()
app:get("x", 1)
return app
