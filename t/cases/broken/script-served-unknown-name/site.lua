-- GET /
local mg = require "moongate"
local app = mg.app()
app:proxy("/*", mg.upstream { name = "api", servers = { "no-such-host.invalid:80" } })
return app
