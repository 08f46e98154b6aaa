--- What newcomers write, and the line they must get for it: { name, text of the file, first line expected, exit code = 1 }.
--- FILE stands for the path of the file.
local HEAD = 'local mg = require "moongate"\nlocal app = mg.app()\n'
local TAIL = "\nreturn app\n"

local function app(body) return HEAD .. body .. TAIL end

return {
    { "a missing `end`", app 'app:get("/", function(req) return "x"', "FILE:4:1: 'end' expected (to close 'function' at line 3) near 'return'" },
    { "a file that returns nothing", HEAD, "FILE: returns nothing" },
    { "a file that returns text", 'return "hi"\n', "FILE: returns a string" },
    { "a global", 'local mg = require "moongate"\napp = mg.app()\nreturn app\n', 'FILE:2:1: global "app" is assigned: nothing is global, make it local' },
    { "a method that is not there", app 'app:gett("/", function() end)', 'FILE:3:5: app has no "gett"' },
    { "two routes of one shape", app 'app:get("/a/:x", function() end)\napp:get("/a/:y", function() end)',
        'FILE:4:9: GET "/a/:y" can never be reached: it is routed at line 3 as "/a/:x" already' },
    { "a wildcard in the middle", app 'app:get("/a/*x/y", function() end)', 'FILE:3:13: app:get: "/a/*x/y": a wildcard must be the last segment' },
    { "a name twice", app 'app:get("/:a/:a", function() end)', 'FILE:3:15: app:get: "/:a/:a": the name "a" is used twice' },
    { "a pattern without its slash", app 'app:get("x", function() end)', 'FILE:3:10: app:get: "x": a pattern begins with "/"' },
    { "a handler that is no function", app 'app:get("/", "hello")', "FILE:3:14: app:get: expected a handler function or a descriptor, got " },
    { "a folder that is not there", app 'app:files("/a/*", "nofolder")', 'FILE:3:19: no folder "' },
    { "a module that is not there", 'local x = require "nothere"\nreturn x\n', 'FILE:1:19: module "nothere" not found:' },
    { "an exit while loading", "os.exit(0)\n", "FILE:1: os.exit() while loading: nothing would be served" },
    { "an unknown key", 'return { app = "FILE", lisen = ":80" }\n', "FILE:1:" },
    { "a size that is none", 'return {\n  app = require("moongate").app(),\n  limits = { head = true },\n}\n',
        'FILE:3:14: limits.head: expected a size such as "16k", "1m" or a number of bytes, got true' },
    { "a duration that is none", 'return {\n  app = require("moongate").app(),\n  limits = { idle = "5 minutes" },\n}\n',
        'FILE:3:14: limits.idle: expected a duration such as "300ms", "10s" or a number of seconds, got "5 minutes"' },
    { "a config without an app", "return { listen = ':8080' }\n", "FILE: app: missing" },
    { "an app file that is not there", 'return { app = "nope.lua" }\n', "FILE:1:10: app: there is no file " },
    { "an error raised while loading", 'error("no password")\n', "FILE:1: no password" },
}
