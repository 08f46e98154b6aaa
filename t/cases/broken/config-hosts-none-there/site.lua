return {
    hosts = { ["a.org"] = "a.lua", ["b.org"] = "b.lua" },
}
