--- `mg.upstream { … }`: a group of servers that answer the same requests. A value, checked when it is made; connections to the
--- servers are opened by the worker that uses it.
local caller = require "moongate.caller"
local proxy_options = require "moongate.proxy_options"
local schema = require "moongate.schema"
local upstream_options = require "moongate.upstream_options"

local M = {}

---@class moongate.Upstream
---@field kind "upstream"
---@field name string
---@field servers { address: string, weight: integer, backup?: boolean, max_connections?: integer, srv?: boolean }[]
---@field balance string
---@field lines string what C reads of it
---@field key? fun(req: moongate.Request): string? what its server is chosen by
---@field where string
local METHODS = { add = true, remove = true, drain = true, down = true, up = true, weight = true }
local Upstream = {}
Upstream.__index = function(_, name) -- what changes a running worker is loaded where it is asked for
    return rawget(Upstream, name) or METHODS[name] and require("moongate.upstreams").METHODS[name] or nil
end
Upstream.__tostring = function(self) return ("upstream %q"):format(self.name) end

--- As it is said on a command line.
local name = schema.custom("a name of at most 64 letters, digits and signs, without blanks", { "string" }, function(value)
    if type(value) ~= "string" or #value > 64 or not value:match("^[^%s%c]+$") then return nil end
    return value
end)

local fields = { { name = "name", type = name } }
for _, rows in ipairs { upstream_options.FIELDS, proxy_options.SHARED } do
    for _, row in ipairs(rows) do fields[#fields + 1] = row end
end

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
    local misfit, wrong, hint = upstream_options.misfit(checked)
    if misfit then caller.tell(what .. ": " .. misfit, hint, { what = what, argument = argument, key = wrong }) end
    checked.balance = checked.balance or (checked.hash and "hash" or "p2c")
    if checked.balance == "hash" then checked.hash = checked.hash or "client" end
    checked.lines = upstream_options.lines(checked)
    checked.key = type(checked.hash) == "function" and checked.hash or nil
    checked.name = checked.name or checked.servers[1].address
    checked.kind = "upstream"
    checked.where = caller.where()
    return setmetatable(checked, Upstream)
end

--- Stands for a group that is told to be wrong, while files load.
function M.nowhere()
    return setmetatable({ kind = "upstream", name = "?", servers = {}, lines = "", where = "[unknown]" }, Upstream)
end

--- A group of servers. Misuse is raised at the caller's line.
---@param given table `servers`, `name`, and what upstream_options.lua and proxy_options.lua know
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
