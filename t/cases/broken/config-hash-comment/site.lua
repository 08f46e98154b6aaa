# my site
return {
    # the app
    app = "app.lua",
}
