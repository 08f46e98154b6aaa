local password = nil
local address = "127.0.0.1:" .. password
return { listen = address, app = "shop.lua" }
