-- GET /
local mg = require "moongate"
local app = mg.app()

app:proxy("/", "http://127.0.0.1:1")
return app
