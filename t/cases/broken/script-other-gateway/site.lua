local mg = require "moongate"
local app = mg.app()

app:get("/", function(req)
    ngx.say("hello")
end)
return app
