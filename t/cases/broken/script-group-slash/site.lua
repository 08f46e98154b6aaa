local mg = require "moongate"
local app = mg.app()

app:group("/admin/", function(admin)
    admin:get("users", function(req) return "users" end)
end)
return app
