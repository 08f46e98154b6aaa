local mg = require "moongate"
local posts = require "posts"
local app = mg.app()
app:get("/", function(req) return "x"
return app
