return {
    app = "app.lua",
    workers = 1.5,
}
