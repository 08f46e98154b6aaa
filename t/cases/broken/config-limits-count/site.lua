return {
    app = "app.lua",
    limits = { fields = 1000000 },
}
