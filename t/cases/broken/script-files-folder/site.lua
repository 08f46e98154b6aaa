local mg = require "moongate"
local app = mg.app()

app:files("/assets/*", "asets")
app:files("/img", ".")
return app
