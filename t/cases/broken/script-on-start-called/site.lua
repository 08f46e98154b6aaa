local mg = require "moongate"
local app = mg.app()

local function connect() end
app:on_start(connect())
return app
