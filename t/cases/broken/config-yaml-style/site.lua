listen: ":8080"
app: app.lua
