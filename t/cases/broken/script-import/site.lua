import moongate

local app = moongate.app()
app:get("/", function(req) return "x" end)
return app
