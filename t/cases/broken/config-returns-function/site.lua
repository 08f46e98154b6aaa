return function() return { app = "app.lua" } end
