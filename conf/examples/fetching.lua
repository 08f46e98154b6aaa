-- Other servers: asked by a handler, looked at before they answer, changed on the way, tried one after the other.
-- Try it with:  moongate serve conf/www --listen 127.0.0.1:9000
local mg  = require "moongate"
local app = mg.app()

local old = mg.upstream { name = "old", servers = { "127.0.0.1:9000" } }
local new = mg.upstream { name = "new", servers = { "127.0.0.1:9001" } }

-- A handler asks another server. What fails is the answer: 502, 503 or 504, with the reason in the log.
app:get("/bytes", function(req)
  local res, message, code = mg.fetch("http://127.0.0.1:9000/style.css", { timeout = "2s" })
  if not res then return nil, message, code end
  return { status = res.status, type = res.headers["content-type"], bytes = #res:text() }
end)

-- Returned as it is, its content goes to the client without passing through Lua.
app:get("/style", function(req) return mg.fetch("http://127.0.0.1:9000/style.css") end)

-- One is tried, and then another.
app:get("/shop/*", function(req)
  local res = req:forward(new, { path = "/*" })
  if res and res.status < 500 then return res end
  return mg.proxy(old, { path = "/*", headers = { ["x-tried"] = "new" } })
end)

-- Nine of ten clients stay with the old servers, and each where it came first.
app:proxy("/beta/*", mg.split { { old, weight = 9 }, { old, weight = 1, name = "new" }, cookie = "beta" }, { path = "/*" })

-- A filter sees the response of an upstream before it is sent, and changes its content piece by piece.
app:proxy("/loud/*", old, { path = "/*" })
app:filter("/loud/*", function(req, next)
  local res = next(req)
  if res.status == 200 then
    res:map(function(piece) return piece:upper() end)
    res.headers["x-loud"] = "yes"
  end
  return res
end)

return app
