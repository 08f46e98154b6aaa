-- What comes with a request: captures, query, headers, body.
local mg  = require "moongate"
local app = mg.app()

app:get("/users/:id", function(req)                  -- /users/42
  return { id = req.params.id, agent = req.headers["user-agent"] }
end)

app:get("/users/me", function(req)                   -- wins over :id, wherever it is written
  return { id = "you" }
end)

app:get("/search", function(req)                     -- /search?q=moon&page=2
  return { looking_for = req.query.q, page = tonumber(req.query.page) or 1 }
end)

app:get("/docs/*path", function(req)                 -- /docs/any/depth
  return "You asked for " .. req.params.path
end)

app:post("/orders", { body = "64k" }, function(req)  -- this route takes at most 64 KiB
  local order, err = req:json()
  if not order then return 400, err end
  return 201, { ok = true, items = order.items }
end)

return app
