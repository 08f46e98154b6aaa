local mg = require "moongate"
local app = mg.app()

app:get("/", "hello")
return app
