--- Everything below /api goes to the server that UPSTREAM names.
local mg = require "moongate"
local app = mg.app()

app:proxy("/api/*", mg.upstream { servers = { os.getenv("UPSTREAM") } })

return app
