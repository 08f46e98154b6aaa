local mg = require "moongate"
local app = mg.app()

app:get("/", function(req)
    if req.path != "/" then return 404 end
    return "x"
end)
return app
