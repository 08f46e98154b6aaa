return {
    app = "app.lua",
    limits = { head = "16k",
}
