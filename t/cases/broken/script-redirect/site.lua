local mg = require "moongate"
local app = mg.app()

app:redirect("/old", "new")
app:redirect("/a", "/b", 200)
app:redirect("/c", "/c")
app:redirect("/d", "/with space")
return app
