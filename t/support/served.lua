--- One server for a whole `describe`: started before its specs, stopped and checked after them. The script has `mg` and `app` and need not
--- return; `ask(method, target, fields, body)` is one request on a connection of its own.
local server = require "t.support.server"

local M = {}

local HEAD, TAIL = "local mg = require 'moongate'; local app = mg.app();", "\nreturn app"

--- The text of an app out of its routes. They begin on line 1, so that places in logs can be counted.
function M.script(text) return HEAD .. text .. TAIL end

--- `options` as server.start takes them, without a script.
---@return fun(method: string, target: string, fields?: table, body?: string): table ask
---@return table holder with `server` once the specs run
function M.by(text, options)
    local holder, busted = {}, getfenv(2)
    busted.setup(function()
        local all = { script = M.script(text) }
        for name, value in pairs(options or {}) do all[name] = value end
        holder.server = server.start(all)
    end)
    busted.teardown(function()
        holder.server:stop()
        server.sweep()
    end)
    return function(method, target, fields, body)
        local c = holder.server:connect()
        local response = c:request(method, target, fields, body)
        c:close()
        return response
    end, holder
end

return M
