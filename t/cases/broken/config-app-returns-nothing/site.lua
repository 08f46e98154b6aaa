return { app = "app.lua" }
