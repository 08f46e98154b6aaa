-- Answers that take their time. Whatever waits, waits alone: other requests go on.
local mg  = require "moongate"
local app = mg.app()

app:get("/count", function(req)                      -- curl -N http://127.0.0.1:8080/count
  return mg.stream(function(out)
    for n = 1, 5 do
      out:write(n .. "\n")
      mg.sleep("1s")
    end
  end)
end)

app:get("/clock", function(req)                      -- new EventSource("/clock")
  return mg.sse(function(out)
    while out:send { event = "tick", data = os.date("%H:%M:%S") } do
      mg.sleep("1s")
    end
  end)
end)

return app
