return { app = "site.lua" }
