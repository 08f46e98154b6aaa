--- An upstream as the config that says the same: what was written, with what was changed since. In: an upstream and its servers as they are now.
--- Out: Lua.
local options = require "moongate.upstream_options"
local proxy_options = require "moongate.proxy_options"
local caller = require "moongate.caller"
local units = require "moongate.units"

local M = {}

local DURATIONS = {
    queue_time = true, slow_start = true, ttl_min = true, ttl_max = true, interval = true, timeout = true, time = true, most_time = true, hedge = true,
    connect = true, send = true, head = true, between = true, total = true, tunnel = true,
}
local SIZES = { body = true }

local show

local function show_table(value, deeper)
    local parts, keys = {}, {}
    for at, entry in ipairs(value) do parts[at] = show(entry, nil, deeper) end
    for key in pairs(value) do
        if type(key) == "string" then keys[#keys + 1] = key end
    end
    table.sort(keys)
    for _, key in ipairs(keys) do parts[#parts + 1] = ("%s = %s"):format(key, show(value[key], key, true)) end
    return "{ " .. table.concat(parts, ", ") .. " }"
end

--- A value as it is written.
show = function(value, key, deeper)
    if type(value) == "table" then return show_table(value, deeper) end
    if type(value) == "function" then return ("nil --[[ the function at %s ]]"):format(caller.definition(value)) end
    if type(value) == "number" and DURATIONS[key] then return ("%q"):format(units.show_duration(value)) end
    if type(value) == "number" and SIZES[key] and deeper then return ("%q"):format(units.show_size(value)) end
    return type(value) == "string" and ("%q"):format(value) or tostring(value)
end

local NOT_SHOWN = { servers = true }

local function rows_of(upstream)
    local lines = {}
    for _, rows in ipairs { options.FIELDS, proxy_options.SHARED } do
        for _, row in ipairs(rows) do
            local value = upstream[row.name]
            local implied = row.name == "balance" and value == "p2c"
            if value ~= nil and not NOT_SHOWN[row.name] and not implied then
                lines[#lines + 1] = ("    %s = %s,"):format(row.name, show(value, row.name))
            end
        end
    end
    return lines
end

local function server_text(server, upstream)
    local parts = { ("%q"):format(server.server) }
    if (server.weight or 1) ~= 1 then parts[#parts + 1] = ("weight = %d"):format(server.weight) end
    if server.backup then parts[#parts + 1] = "backup = true" end
    if server.max_connections and server.max_connections ~= upstream.max_connections then
        parts[#parts + 1] = ("max_connections = %d"):format(server.max_connections)
    end
    return #parts == 1 and parts[1] or "{ " .. table.concat(parts, ", ") .. " }"
end

local REMARKS = { draining = "is drained", down = "is down, as was said at run time" }

--- The call that makes this upstream.
---@param upstream moongate.Upstream
---@param servers table[] { server, weight?, backup?, max_connections?, state? }
---@return string
function M.config(upstream, servers)
    local lines = { "mg.upstream {", ("    name = %q,"):format(upstream.name), "    servers = {" }
    for _, server in ipairs(servers) do
        local remark = REMARKS[server.state]
        lines[#lines + 1] = ("        %s,%s"):format(server_text(server, upstream), remark and " -- " .. remark or "")
    end
    lines[#lines + 1] = "    },"
    for _, line in ipairs(rows_of(upstream)) do lines[#lines + 1] = line end
    lines[#lines + 1] = "}"
    return table.concat(lines, "\n") .. "\n"
end

return M
