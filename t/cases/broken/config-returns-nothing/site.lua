local config = { app = "app.lua" }
