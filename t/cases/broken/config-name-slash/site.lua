return {
    app = "app.lua",
    name = "my/site",
}
