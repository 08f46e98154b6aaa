-- GET /
local mg = require "moongate"
local app = mg.app()

app:get("/", function(req)
    mg.spawn(function() error("in the task") end)
    return "hello"
end)
return app
