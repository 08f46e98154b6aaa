-- GET /
local mg = require "moongate"
local app = mg.app()

local shop = require "shop"
app:get("/", function(req)
    local total = shop.total({ { price = 3 }, {} })
    return tostring(total)
end)
return app
