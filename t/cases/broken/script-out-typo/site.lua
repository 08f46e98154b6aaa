local mg = require "moongate"
local app = mg.app()

app:get("/", function(req)
    return mg.stream(function(out) out:wite("hello") end)
end)
return app
