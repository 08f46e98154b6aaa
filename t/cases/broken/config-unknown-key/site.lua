return {
    app = "app.lua",
    lisen = ":8080",
}
