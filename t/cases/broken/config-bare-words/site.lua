return {
    app = "app.lua",
    listen = localhost,
    debug = yes,
}
