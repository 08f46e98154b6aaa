return {
    app = "app.lua",
    listen = { ":8080", ":70000" },
}
