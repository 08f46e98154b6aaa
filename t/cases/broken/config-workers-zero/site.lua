return {
    app = "app.lua",
    workers = 0,
}
