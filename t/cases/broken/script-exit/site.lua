local mg = require "moongate"
local app = mg.app()

if not os.getenv("A_NAME_THAT_IS_NOT_SET") then os.exit(1) end
return app
