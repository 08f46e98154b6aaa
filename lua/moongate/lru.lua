--- `mg.lru(most)`: a table of this worker that forgets what was not asked for longest, and what has expired. Every call takes the same time.
local abi = require "moongate.abi"
local caller = require "moongate.caller"
local units = require "moongate.units"

local M = {}

---@class moongate.Lru
---@field most integer
---@field count integer
local Lru = {}
Lru.__index = Lru

local function now_ms() return abi.worker and abi.C.mg_now(abi.worker) or os.clock() * 1000 end

--- Keeps up to so many values, of any kind, by keys of any kind.
---@param most integer
---@return moongate.Lru
function M.lru(most)
    if type(most) ~= "number" or most % 1 ~= 0 or most < 1 then caller.raise("mg.lru: expected a whole number from 1 on") end
    local ring = {}
    ring.newer, ring.older = ring, ring -- the newest and the oldest are its neighbours
    return setmetatable({ most = most, count = 0, ring = ring, entries = {} }, Lru)
end

local function unlink(entry) entry.newer.older, entry.older.newer = entry.older, entry.newer end

local function link(ring, entry)
    entry.older, entry.newer = ring.older, ring
    ring.older.newer, ring.older = entry, entry
end

local function forget(self, entry)
    unlink(entry)
    self.entries[entry.key] = nil
    self.count = self.count - 1
end

--- The value of a key; nil: none.
function Lru:get(key)
    local entry = self.entries[key]
    if not entry then return nil end
    if entry.until_ms and entry.until_ms <= now_ms() then
        forget(self, entry)
        return nil
    end
    unlink(entry)
    link(self.ring, entry)
    return entry.value
end

--- Keeps a value, for as long as `ttl` when it is given; nil removes it.
---@param key any
---@param value any
---@param ttl? number|string
function Lru:set(key, value, ttl)
    local ms, message
    if ttl ~= nil then
        ms, message = units.duration(ttl)
        if not ms then caller.raise("lru:set: ttl: " .. message) end
    end
    local entry = self.entries[key]
    if value == nil then
        if entry then forget(self, entry) end
        return
    end
    if entry then
        unlink(entry)
    else
        if self.count == self.most then forget(self, self.ring.newer) end
        entry = { key = key }
        self.entries[key], self.count = entry, self.count + 1
    end
    entry.value, entry.until_ms = value, ms and now_ms() + ms
    link(self.ring, entry)
end

--- Removes it: was there one?
---@return boolean
function Lru:delete(key)
    local entry = self.entries[key]
    if entry then forget(self, entry) end
    return entry ~= nil
end

return M
