return {
    app = "app.lua",
    limits = { body = "10 megabytes" },
}
