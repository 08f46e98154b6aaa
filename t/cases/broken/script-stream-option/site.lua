local mg = require "moongate"
local app = mg.app()

app:get("/", function(req)
    return mg.stream(function(out) out:write("hello") end, { contenttype = "text/plain" })
end)
return app
