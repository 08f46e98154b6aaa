-- The site that `moongate run` shows until you write your own. After a change: `moongate stop`, and run it again.
local mg  = require "moongate"
local app = mg.app()

local page = [[
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Moongate</title>
<link rel="stylesheet" href="/assets/style.css">
<h1>The gate is open.</h1>
<p>This page is a Lua string in <code>conf/site.lua</code>.</p>
<ul>
  <li><a href="/hello/you">/hello/you</a> is a parameter</li>
  <li><a href="/time">/time</a> is a table, sent as JSON</li>
  <li><a href="/assets/style.css">/assets/style.css</a> is a file in <code>conf/www</code></li>
  <li><a href="/mirror/time">/mirror/time</a> is passed on to an upstream: this gateway itself, for want of another</li>
</ul>
]]

app:get("/", function(req)
  return mg.html(page)
end)

app:get("/hello/:name", function(req)             -- a string is text
  return "Hello, " .. req.params.name .. "!\n"
end)

app:get("/time", function(req)                    -- a table is JSON
  return { now = os.time(), you = req.remote }
end)

app:files("/assets/*", "www")                     -- a folder beside this file

app:redirect("/home", "/", 301)

app:filter(function(req, next)                    -- around every request
  local res = next(req)
  res.headers["x-content-type-options"] = "nosniff"
  return res
end)

app:on_error("not-found", function(req, err)
  return 404, "There is nothing at " .. req.path .. "\n"
end)

app:proxy("/mirror/*", "http://127.0.0.1:8080", { path = "/*" })

-- With servers behind the gate:
-- local api = mg.upstream { servers = { "10.0.0.1:9000", { "10.0.0.2:9000", weight = 2 } } }
-- app:proxy("/api/*", api)

return app
