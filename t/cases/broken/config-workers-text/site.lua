return {
    app = "app.lua",
    workers = "four",
}
