--- As many routes as ROUTES says, each with a handler of its own: what does it cost to have many?
local app = require "moongate".app()

for number = 1, tonumber(os.getenv("ROUTES") or "1") do
    app:get(("/section%d/page%d/:id"):format(number % 100, number), function(req) return req.params.id end)
end

return app
