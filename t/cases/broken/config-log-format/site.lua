return {
    app = "app.lua",
    log = { format = "common" },
}
