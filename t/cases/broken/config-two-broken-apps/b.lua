local mg = require "moongate"
local app = mg.app()
error("no password")
