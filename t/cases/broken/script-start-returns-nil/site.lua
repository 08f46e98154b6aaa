-- run
local mg = require "moongate"
local app = mg.app()

app:on_start(function()
    return nil, "no database at 10.0.0.5"
end)
app:get("/", function(req) return "hello" end)
return app
