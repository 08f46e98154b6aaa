return {
    app = "app.lua",
    debug = "yes",
}
