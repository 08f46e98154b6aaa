return {
    app = "app.lua",
    log = { access = "no/such/access.log", errors = "nor/this.log" },
}
