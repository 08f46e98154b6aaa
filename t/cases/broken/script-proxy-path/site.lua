local mg = require "moongate"
local app = mg.app()

app:proxy("/api/*", "http://10.0.0.1:9000/v1")
app:proxy("/b/:id", "http://10.0.0.1:9000", { path = "/c/:name" })
return app
