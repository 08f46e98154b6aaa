return {
    app = "app.lua",
    workers = 1000,
}
