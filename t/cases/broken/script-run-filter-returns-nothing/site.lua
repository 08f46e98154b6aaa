-- GET /
local mg = require "moongate"
local app = mg.app()

app:filter(function(req, next)
    next(req)
end)
app:get("/", function(req) return "hello" end)
return app
