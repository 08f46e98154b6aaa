local mg = require "moongate"
local auth = require "auth"
local people = require "people"
local app = mg.app()
app:get("/", function(req) return req.user end
return app
