local mg = require "moongate"
local app = mg.app()

local api = mg.upstream {}
app:proxy("/api/*", api)
return app
