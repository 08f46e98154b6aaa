--- Two captures and a string built from them.
local app = require "moongate".app()

app:get("/users/:user/orders/:order", function(req)
    local params = req.params
    return "user " .. params.user .. " order " .. params.order
end)

return app
