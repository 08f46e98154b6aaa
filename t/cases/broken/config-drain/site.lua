return {
    app = "app.lua",
    drain = "forever",
}
