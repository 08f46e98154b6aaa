return {
    app = "app.lua",
    listen = {},
}
