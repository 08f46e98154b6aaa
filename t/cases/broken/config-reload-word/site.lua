return {
    app = "app.lua",
    reload = "auto",
}
