local mg = require "moongate"
local app = mg.app()

app:get("/", { ok = true })
return app
