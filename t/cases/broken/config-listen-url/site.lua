return {
    app = "app.lua",
    listen = "http://127.0.0.1:8080",
}
