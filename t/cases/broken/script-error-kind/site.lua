local mg = require "moongate"
local app = mg.app()

app:on_error("not_found", function(req, err) return "nothing here" end)
app:on_error(200, function(req, err) return "fine" end)
return app
