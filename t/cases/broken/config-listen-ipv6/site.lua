return {
    app = "app.lua",
    listen = "::1:8080",
}
