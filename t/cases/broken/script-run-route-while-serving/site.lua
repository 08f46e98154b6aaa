-- GET /
local mg = require "moongate"
local app = mg.app()

app:get("/", function(req)
    app:get("/new", function() return "new" end)
    return "hello"
end)
return app
