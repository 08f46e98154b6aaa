--- `moongate proxy ADDR UPSTREAM…`: the config that it stands for.
local app = require "moongate.app"

local M = {}

--- A config that listens on the first address and forwards to the others.
---@param arguments string[]
---@return table config
function M.config(arguments)
    local listen, servers = arguments[1], { unpack(arguments, 2) }
    if not listen or #servers == 0 then
        error("proxy: expected an address and servers, as in: moongate proxy :8080 10.0.0.1:9000 10.0.0.2:9000", 0)
    end
    local site = app.new("moongate proxy")
    site:proxy("/*", servers)
    return { name = "proxy", listen = listen, app = site }
end

return M
