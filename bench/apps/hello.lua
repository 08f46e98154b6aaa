--- The smallest app: one route, a constant.
local app = require "moongate".app()

app:get("/", function() return "Hello, World!" end)

return app
