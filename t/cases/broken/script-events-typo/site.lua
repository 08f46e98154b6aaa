local mg = require "moongate"
local app = mg.app()

app:get("/", function(req)
    return mg.sse(function(events) events:write("hello") end)
end)
return app
