return {
    app = "app.lua",
    limits = 5,
}
