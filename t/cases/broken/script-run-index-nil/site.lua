-- GET /
local mg = require "moongate"
local app = mg.app()

local function name_of(user)
    return user.name
end

app:get("/", function(req)
    return "hello " .. name_of(req.state.user)
end)
return app
