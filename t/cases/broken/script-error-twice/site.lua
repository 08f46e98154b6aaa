local mg = require "moongate"
local app = mg.app()

app:on_error(404, function(req, err) return "a" end)
app:on_error(404, function(req, err) return "b" end)
return app
