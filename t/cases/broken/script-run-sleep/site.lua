-- GET /
local mg = require "moongate"
local app = mg.app()

app:get("/", function(req)
    mg.sleep("5 parsecs")
    return "hello"
end)
return app
