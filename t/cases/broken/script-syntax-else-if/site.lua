local mg = require "moongate"
local app = mg.app()

app:get("/", function(req)
    if req.path == "/" then
        return "a"
    else if req.path == "/b" then
        return "b"
    end
end)
return app
