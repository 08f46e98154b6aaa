-- A gate in front of servers. Try it with:  moongate serve conf/www --listen 127.0.0.1:9000
local mg  = require "moongate"
local app = mg.app()

local api = mg.upstream {
  name    = "api",
  servers = { "127.0.0.1:9000", { "127.0.0.1:9001", weight = 2 }, { "127.0.0.1:9002", backup = true } },
  check   = { path = "/", interval = "5s" },         -- who does not answer it gets no requests
}

app:proxy("/api/*", api, { path = "/*" })            -- /api/users asks the server for /users
app:proxy("/old/*", "http://127.0.0.1:9000")         -- as it came

app:get("/", function(req) return "The gate itself answers here." end)

return app
