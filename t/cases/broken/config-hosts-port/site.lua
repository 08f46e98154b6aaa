return {
    hosts = { ["example.org:8080"] = "app.lua" },
}
