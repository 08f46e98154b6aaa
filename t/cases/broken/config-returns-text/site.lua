return "app.lua"
