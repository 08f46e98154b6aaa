return {
    app = "app.lua",
    listen = { host = "0.0.0.0", port = 8080 },
}
