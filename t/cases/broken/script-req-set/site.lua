local mg = require "moongate"
local app = mg.app()

app:get("/", function(req)
    req.user = "ann"
    return "hello"
end)
return app
