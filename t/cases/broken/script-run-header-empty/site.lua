-- GET /
local mg = require "moongate"
local app = mg.app()

app:get("/", function(req) return 200, "hello", { ["x-a"] = {} } end)
return app
