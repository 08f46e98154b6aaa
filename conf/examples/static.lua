-- Files below a folder, which lies beside this file. They are watched: a change shows at once.
local mg  = require "moongate"
local app = mg.app()

app:files("/*", "public")
app:files("/assets/*", "public/assets", { cache_control = "max-age=3600" })

return app
