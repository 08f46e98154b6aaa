return {
    app = "app.lua",
    log = { level = "warning" },
}
