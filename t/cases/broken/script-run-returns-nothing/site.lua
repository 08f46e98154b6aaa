-- GET /
local mg = require "moongate"
local app = mg.app()

app:get("/", function(req)
    local greeting = "hello"
end)
return app
