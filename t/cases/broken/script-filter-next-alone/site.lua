local mg = require "moongate"
local app = mg.app()

app:filter(function(req, next)
    local res = next()
    return res
end)
app:get("/", function(req) return "hello" end)
return app
