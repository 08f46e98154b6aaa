return {
    app = "app.lua",
    limits = { idle = "5 minutes" },
}
