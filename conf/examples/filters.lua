-- Filters stand around handlers like the layers of an onion, in the order written.
local mg  = require "moongate"
local app = mg.app()

app:filter(function(req, next)                       -- around everything
  local began = os.clock()
  local res = next(req)
  res.headers["x-handler-time"] = ("%.3f ms"):format((os.clock() - began) * 1000)
  return res
end)

app:group("/admin", function(admin)
  admin:filter(function(req, next)                   -- around /admin and all below it
    if req.headers.authorization ~= "Bearer moon" then return 401, "who are you?" end
    req.state.user = "keeper of the gate"
    return next(req)
  end)

  admin:get("", function(req) return "Welcome, " .. req.state.user end)
  admin:delete("/users/:id", function(req) return { deleted = req.params.id } end)
end)

app:get("/", function(req) return "Open to all" end)

app:get("/", { when = function(req) return req.headers["x-beta"] end }, function(req)
  return "The next version"                          -- a predicate picks among routes
end)

return app
