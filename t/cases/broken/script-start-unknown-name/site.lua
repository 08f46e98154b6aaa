-- run
local mg = require "moongate"
local app = mg.app()

app:proxy("/", "http://no-such-host.invalid:80")
return app
