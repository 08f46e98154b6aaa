return {
    app = "app.lua",
    Listen = ":8080",
}
