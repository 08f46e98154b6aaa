-- The smallest site.  moongate run conf/examples/hello.lua
local mg  = require "moongate"
local app = mg.app()

app:get("/", function(req)
  return "Hello, World!"
end)

return app
