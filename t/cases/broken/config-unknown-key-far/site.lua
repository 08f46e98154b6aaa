return {
    app = "app.lua",
    colour = "red",
}
