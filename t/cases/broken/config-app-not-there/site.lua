return {
    listen = ":8080",
    app = "ap.lua",
}
