local mg = require "moongate"
local app = mg.app()

app:filter(function(req, next)
    local res = next(req)
    res.heders["x-a"] = "1"
    res.satus = 201
    return res
end)
app:get("/", function(req) return "hello" end)
return app
