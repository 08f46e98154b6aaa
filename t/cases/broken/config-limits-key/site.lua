return {
    app = "app.lua",
    limits = { bodyy = "1m", idel = "5s" },
}
