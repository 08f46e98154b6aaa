-- GET /
local mg = require "moongate"
local app = mg.app()

app:get("/", function(req) error("first") end)
app:on_error(500, function(req, err)
    return err.value.text.upper
end)
return app
