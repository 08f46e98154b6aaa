local mg = require "moongate"
local app = mg.app()

app:get("/", function(req)
    if req.path == "/" && req.method == "GET" then return "hello" end
    return "x"
end)
return app
