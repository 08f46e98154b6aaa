local mg = require "moongate"
local app = mg.app()

app:get("/", function(req)
    if req.method = "GET" then return "hello" end
    return "x"
end)
return app
