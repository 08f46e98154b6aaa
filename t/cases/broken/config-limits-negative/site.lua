return {
    app = "app.lua",
    limits = { idle = -1 },
}
