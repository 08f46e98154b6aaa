local mg = require "moongate"
local app = mg.app()

app:proxy("/api/*", { "10.0.0.1:9000", "10.0.0.1:9000" })
return app
