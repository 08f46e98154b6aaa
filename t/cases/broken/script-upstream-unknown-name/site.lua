local mg = require "moongate"
local app = mg.app()

app:proxy("/api/*", "http://no-such-host.invalid:9000")

return app
