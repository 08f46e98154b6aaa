local mg = require "moongate"
local app = mg.app()
return mg
