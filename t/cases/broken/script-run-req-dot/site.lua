-- GET /
local mg = require "moongate"
local app = mg.app()

app:get("/", function(req)
    local read = req.json
    local order = read()
    return order
end)
return app
