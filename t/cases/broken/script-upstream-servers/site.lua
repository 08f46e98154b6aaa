local mg = require "moongate"
local app = mg.app()

local api = mg.upstream { servers = { "10.0.0.1", { "10.0.0.2:9000", wight = 2 }, "https://10.0.0.3" }, balanc = "random" }
app:proxy("/api/*", api)
return app
