config = {
    app = "app.lua",
}
return config
