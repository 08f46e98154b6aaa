return {
    app = "app.lua",
    head = "16k",
}
