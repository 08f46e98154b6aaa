local mg = require "moongate"
local app = mg.app()

app:get("/", function(req)
    return "hello"
    mg.log("never")
end)
return app
