return {
    hosts = { ["www.*.org"] = "app.lua", ["*.ok.org"] = "app.lua" },
}
