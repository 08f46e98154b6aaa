local mg = require "moongate"
local app = mg.app()

app:get("/", function(req)
    if req.path == "/" then
        return "hello"
    return "other"
end)
return app
