--- `mg.split { { old, weight = 95 }, { new, weight = 5 }, cookie = "shop" }`: traffic parted among upstreams. With `cookie` a client stays where
--- it came first; with `key`, a function of the request, equal keys go the same way. A value, checked when it is made; it stands where an
--- upstream does in app:proxy and mg.proxy.
local caller = require "moongate.caller"
local schema = require "moongate.schema"
local upstream = require "moongate.upstream"

local M = {}

local PARTS_MAX, WEIGHT_MAX = 16, 1000000

---@class moongate.Split
---@field parts { upstream: moongate.Upstream, weight: integer, name: string }[]
---@field total integer
---@field cookie? string
---@field key? fun(req: table): string
local Split = {}
Split.__index = Split
Split.__tostring = function(self) return ("a split of %d"):format(#self.parts) end

local weight = schema.count(0, WEIGHT_MAX)
local cookie_name = schema.custom('the name of a cookie, such as "shop"', { "string" }, function(value)
    if type(value) ~= "string" or not value:match("^[%w!#$%%&'*+.^_`|~-]+$") then return nil end
    return value
end)
M.cookie_name = cookie_name

local OPTIONS = schema.record { { name = "cookie", type = cookie_name }, { name = "key", type = schema.func } }

--- Is this a split?
function M.is(value) return getmetatable(value) == Split end

local function part_of(given, at)
    local what = ("mg.split: part %d: "):format(at)
    local fields = type(given) == "table" and not upstream.is(given) and given or { given }
    if fields[1] == nil then caller.raise(what .. "expected an upstream, as in { api, weight = 5 }, got " .. schema.shown(given)) end
    for key in pairs(fields) do
        if key ~= 1 and key ~= "weight" and key ~= "name" then
            caller.raise(("%sunknown key %s (known: weight, name)"):format(what, schema.shown(key)))
        end
    end
    local to = upstream.from(fields[1], "mg.split")
    local share = schema.demand(weight, fields.weight == nil and 1 or fields.weight, "mg.split: weight", 1)
    return { upstream = to, weight = share or 0, name = fields.name or tostring(at) }
end

--- Misuse is raised at the caller's line.
---@param given table
---@return moongate.Split
M.new = caller.forgiving(function(given)
    if type(given) ~= "table" or #given == 0 or #given > PARTS_MAX then
        caller.raise(("mg.split: expected a list of 1 to %d upstreams, as in { { old, weight = 95 }, { new, weight = 5 } }"):format(PARTS_MAX))
    end
    local options = {}
    for key, value in pairs(given) do
        if type(key) ~= "number" then options[key] = value end
    end
    local made = schema.demand(OPTIONS, options, "mg.split", 1)
    made.parts, made.total = {}, 0
    for at, one in ipairs(given) do
        made.parts[at] = part_of(one, at)
        made.total = made.total + made.parts[at].weight
    end
    if made.total == 0 then caller.raise("mg.split: every weight is 0") end
    return setmetatable(made, Split)
end, function() return upstream.nowhere() end)

--- The part that a number from 0 to 1 falls into.
---@param split moongate.Split
---@param share number
---@return integer
function M.part_at(split, share)
    local left = share * split.total
    for at, part in ipairs(split.parts) do
        left = left - part.weight
        if left < 0 then return at end
    end
    return #split.parts
end

--- The part with that name, while it gets anything at all.
---@return integer?
function M.part_named(split, name)
    for at, part in ipairs(split.parts) do
        if part.name == name and part.weight > 0 then return at end
    end
    return nil
end

return M
