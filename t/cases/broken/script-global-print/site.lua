local mg = require "moongate"
local app = mg.app()

app:get("/", function(req)
    pirnt(req.path)
    return "hello"
end)
return app
