-- run
local mg = require "moongate"
local app = mg.app()

app:on_start(function()
    local settings = {}
    local port = settings.database.port
end)
app:get("/", function(req) return "hello" end)
return app
