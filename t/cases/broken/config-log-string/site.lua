return {
    app = "app.lua",
    log = "access.log",
}
