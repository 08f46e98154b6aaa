-- GET /
local mg = require "moongate"
local app = mg.app()

app:filter(function(req, next)
    local inner = { next }
    local res = inner[1]()
    return res
end)
app:get("/", function(req) return "hello" end)
return app
