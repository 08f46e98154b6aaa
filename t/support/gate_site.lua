--- The site that specs of connections ask: little handlers that answer, wait, stream, read content or leave it. `start` serves it with
--- limits of the spec's own.
local server = require "t.support.server"

local M = {}

--- Its routes. `/seen` tells the targets that reached a handler since it was last asked: what was smuggled in shows there.
M.ROUTES = [==[
local mg = require "moongate"
local app = mg.app()
local seen = {}

app:filter("/*", function(req, next)
    if #seen == 2000 then seen = {} end
    if req.path ~= "/seen" then seen[#seen + 1] = req.method .. " " .. req.target end
    return next(req)
end)
app:get("/seen", function()
    local text = table.concat(seen, "\n")
    seen = {}
    return text
end)
app:get("/", function() return "hello" end)
app:get("/n/:n", function(req) return req.params.n end)
app:get("/sleep/:ms", function(req) mg.sleep(req.params.ms .. "ms") return req.params.ms end)
app:get("/status/:n", function(req) return tonumber(req.params.n), "s" .. req.params.n end)
app:get("/empty/:n", function(req) return tonumber(req.params.n) end)
app:get("/big/:n", function(req) return ("b"):rep(tonumber(req.params.n)) end)
app:get("/stream/:n", function(req)
    local n = tonumber(req.params.n)
    return mg.stream(function(out) for i = 1, n do out:write("piece " .. i .. ";") mg.sleep("1ms") end end)
end)
app:get("/flow/:n", function(req) -- n pieces of 16 KiB, as fast as they are taken
    local n, piece = tonumber(req.params.n), ("f"):rep(16384)
    return mg.stream(function(out) for _ = 1, n do if not out:write(piece) then return end end end)
end)
app:any("/echo", function(req)
    local text, message, status = req:text()
    if not text then return status, message end
    return 200, text, { ["content-type"] = "application/octet-stream" }
end)
app:any("/late/:ms", function(req) -- reads its content after a while
    mg.sleep(req.params.ms .. "ms")
    local text, message, status = req:text()
    if not text then return status, message end
    return #text .. ""
end)
app:any("/leave", function() return "left" end) -- never reads its content
app:any("/head-of", function(req) return { method = req.method, target = req.target, path = req.path, host = req.host } end)
]==]

--- Text of a config: the site and `settings`, Lua text such as "limits = { head = '1k' }". `routes` are added to the site.
function M.config(settings, routes)
    return M.ROUTES .. (routes or "") .. "\nreturn { app = app, " .. (settings or "") .. " }"
end

--- Serves it. `options` as server.start takes them.
function M.start(settings, routes, options)
    local all = { script = M.config(settings, routes) }
    for name, value in pairs(options or {}) do all[name] = value end
    return server.start(all)
end

--- The targets that reached handlers since it was last asked, as "METHOD target" lines.
function M.seen(s) return s:get("/seen").body end

return M
