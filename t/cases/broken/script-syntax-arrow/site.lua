local mg = require "moongate"
local app = mg.app()

app:get("/", (req) => "hello")
return app
