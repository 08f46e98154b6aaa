local mg = require "moongate"
mg.extend_request("user", function(req) return req.headers["x-user"] end)
for _, name in ipairs { "team", "role" } do
    mg.extend_request(name, function(req) return req.headers["x-" .. name] end)
end
return {}
