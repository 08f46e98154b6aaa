return {
    app = "app.lua",
    lisen = ":8080",
    workers = 0,
    limits = { head = true, bodyy = "1m" }, drain = "forever", debug = 1,
    log = { level = "loud", access = "nowhere/a.log" },
}
