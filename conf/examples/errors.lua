-- Every error has a kind, and a kind can have an answer.
local mg  = require "moongate"
local app = mg.app()

app:get("/stock/:item", function(req)
  if req.params.item ~= "lamp" then return nil, "no such item", "not-found" end
  return { item = "lamp", left = 3 }
end)

app:get("/broken", function(req)
  local nothing
  return nothing.field                               -- logged with file, line and an id
end)

app:get("/closed", function(req)
  error { kind = "closed", status = 503, opens = 9 } -- a kind of your own
end)

app:on_error("not-found", function(req, err)
  return 404, { error = "not found", path = req.path }
end)

app:on_error("closed", function(req, err)
  return 503, ("We open at %d."):format(err.value.opens)
end)

app:on_error("internal-error", function(req, err)
  return 500, "We broke it. Tell us this: " .. err.id
end)

return app
