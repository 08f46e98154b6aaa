--- Everything below /api goes to the server that UPSTREAM names; below /set, /look and /map it does so with a filter around it.
local mg = require "moongate"
local app = mg.app()
local upstream = mg.upstream { servers = { os.getenv("UPSTREAM") } }

for _, part in ipairs { "api", "set", "look", "map" } do app:proxy("/" .. part .. "/*", upstream) end

app:filter("/set/*", function(req, next)
    local res = next(req)
    res.headers["x-frame-options"] = "DENY"
    return res
end)

app:filter("/look/*", function(req, next)
    local res = next(req)
    if res.status == 200 then res.headers["x-frame-options"] = "DENY" end
    return res
end)

local function as_it_is(piece) return piece end

app:filter("/map/*", function(req, next)
    local res = next(req)
    res:map(as_it_is)
    return res
end)

return app
