return {
    app = "app.lua",
    server = "a\nb",
}
