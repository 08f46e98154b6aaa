return {
    app = "app.lua",
    limits = { head = "1t" },
}
