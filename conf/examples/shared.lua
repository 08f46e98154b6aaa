-- What all workers know together: sessions, counters, limits, a queue. Run it with several: moongate run conf/examples/shared.lua --workers 2
local mg = require "moongate"
local app = mg.app()

local visits, limits, jobs = mg.shared "visits", mg.shared "limits", mg.shared "jobs"

app:filter("/*", function(req, next)                                 -- 5 at once, then 10 in a second, by client
    local allowed, _, wait = limits:limit("client:" .. req.remote, { rate = 10, burst = 5 })
    if allowed then return next(req) end
    return mg.respond { status = 429, headers = { ["retry-after"] = tostring(math.ceil(wait)) }, body = "slow down" }
end)

app:get("/", function()
    return ("visit %d"):format(visits:incr("all", 1, 0))
end)

app:get("/last/:name", function(req)                                 -- a table, changed in one step for all workers
    return visits:update("last", function(list)
        list = list or {}
        table.insert(list, 1, req.params.name)
        list[4] = nil
        return list
    end, "1h")
end)

app:post("/jobs", function(req)
    return 202, { waiting = jobs:rpush("queue", assert(req:text())) }
end)

app:get("/jobs", function() return jobs:lpop("queue") or 204 end)

return app
