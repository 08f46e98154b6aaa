return { app = "other.lua" }
