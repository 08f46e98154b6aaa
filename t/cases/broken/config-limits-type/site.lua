return {
    app = "app.lua",
    limits = { head = true },
}
