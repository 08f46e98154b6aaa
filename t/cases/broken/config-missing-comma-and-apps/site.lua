local fallback = os.getenv("SHOP") or "unused.lua"
return {
    app = "shop.lua"
    hosts = { ["blog.example.org"] = "blog.lua", ["old.example.org"] = fallback or "unused.lua", ["new.example.org"] = "not-there.lua" },
    log = { errors = "unused.lua" },
    -- app = "unused.lua",
}
