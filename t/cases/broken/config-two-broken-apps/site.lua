return {
    lisen = ":80",
    hosts = { ["a.org"] = "a.lua", ["b.org"] = "b.lua" },
    app = "c.lua",
}
