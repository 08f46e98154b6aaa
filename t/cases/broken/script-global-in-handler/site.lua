local mg = require "moongate"
local app = mg.app()

app:get("/", function(req)
    count = (count or 0) + 1
    return tostring(count)
end)
return app
