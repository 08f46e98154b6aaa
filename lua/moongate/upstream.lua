--- `mg.upstream { … }`: a group of servers that answer the same requests. A value, checked when it is made; connections to the
--- servers are opened by the worker that uses it.
local address = require "moongate.address"
local caller = require "moongate.caller"
local proxy_options = require "moongate.proxy_options"
local schema = require "moongate.schema"

local M = {}

---@class moongate.Upstream
---@field kind "upstream"
---@field name string
---@field servers { address: string, weight: integer }[]
---@field balance string
---@field where string
local Upstream = {}
Upstream.__index = Upstream
Upstream.__tostring = function(self) return ("upstream %q"):format(self.name) end

local SERVERS_MAX = 64
local WEIGHT_MAX = 1000

local weight = schema.count(1, WEIGHT_MAX)

--- A server: its address, or a table of the address and options.
local server = {
    expected = address.server.expected,
    takes = { string = true, table = true },
    check = function(value, path, report)
        if type(value) ~= "table" then
            local text = address.server.check(value, path, report)
            return text and { address = text, weight = 1 }
        end
        local options = {}
        for key, entry in pairs(value) do options[key == 1 and "address" or key] = entry end
        return schema.record({
            { name = "address", type = address.server, required = true },
            { name = "weight", type = weight, default = 1 },
        }).check(options, path, report)
    end,
}

local fields = {
    { name = "name", type = schema.string },
    { name = "servers", type = schema.list(server, 1, SERVERS_MAX), required = true },
    { name = "balance", type = schema.choice { "round-robin" }, default = "round-robin" },
}
for _, row in ipairs(proxy_options.SHARED) do fields[#fields + 1] = row end

local options = schema.record(fields)

--- Two entries of one address would be two of the same server.
local function repeated(servers)
    local seen = {}
    for at, entry in ipairs(servers) do
        if seen[entry.address] then
            return ("servers[%d]: %q is already servers[%d]"):format(at, entry.address, seen[entry.address]), ("servers[%d]"):format(at)
        end
        seen[entry.address] = at
    end
    return nil
end

local function make(given, what, argument)
    local checked = schema.demand(options, given, what, argument)
    if not checked.servers or #checked.servers == 0 then return M.nowhere() end
    local twice, key = repeated(checked.servers)
    if twice then caller.tell(what .. ": " .. twice, "give it a weight instead", { what = what, argument = argument, key = key }) end
    checked.name = checked.name or checked.servers[1].address
    checked.kind = "upstream"
    checked.where = caller.where()
    return setmetatable(checked, Upstream)
end

--- Stands for a group that is told to be wrong, while files load.
function M.nowhere()
    return setmetatable({ kind = "upstream", name = "?", servers = {}, where = "[unknown]" }, Upstream)
end

--- A group of servers. Misuse is raised at the caller's line.
---@param given { servers: (string|table)[], name?: string, balance?: "round-robin" }
---@return moongate.Upstream
M.new = caller.forgiving(function(given)
    return make(given, "mg.upstream", 1)
end, function() return M.nowhere() end)

--- Is this an upstream?
function M.is(value)
    return getmetatable(value) == Upstream
end

--- What `app:proxy` takes: an upstream, a URL or address, or a list of such.
---@return moongate.Upstream
function M.from(value, what)
    if M.is(value) then return value end
    if type(value) ~= "string" and (type(value) ~= "table" or getmetatable(value)) then
        caller.raise(("%s: expected an upstream, a URL such as %q or a list of servers, got %s"):format(
            what, "http://10.0.0.1:9000", schema.shown(value)), nil, { what = what, argument = 2 })
    end
    return make({ servers = value }, what, 2)
end

return M
