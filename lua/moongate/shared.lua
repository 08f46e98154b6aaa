--- `mg.shared(name)`: a dictionary that all workers share. In: keys and plain values; out: values, and `nil, message, code` for what could not be
--- done. The memory is C's (src/dict): it outlives workers and reloads. Every call does its work at once and never waits, but for update(),
--- which gives way between attempts when others change the same key all the time.
local ffi = require "ffi"
local buffer = require "string.buffer"
local abi = require "moongate.abi"
local await = require "moongate.await"
local caller = require "moongate.caller"
local ghost = require "moongate.ghost"
local names = require "moongate.names"
local units = require "moongate.units"

local M = {}

local C = abi.C
local DEFAULT_BYTES = 16 * 1024 ^ 2
local KEYS_MOST = 1024 -- of keys(), unless told
local ATTEMPTS, PATIENT = 200, 8 -- of update(), and how many without a pause

local ENOENT, EAGAIN, EMSGSIZE = -2, -11, -90

local CODES = {
    [-2] = { "there is no such key", "absent" }, [-7] = { "the value is too large for this dictionary", "too-large" },
    [-16] = { "the dictionary is locked by a process that does not go on", "busy" }, [-17] = { "the key is there already", "exists" },
    [-22] = { "the key has a value of another kind", "kind" }, [-28] = { "there is no room without giving up others", "full" },
    [-36] = { "a key has 1 to 1024 bytes", "key" }, [-11] = { "others change it all the time", "busy" }, [-12] = { "there is no memory", "memory" },
}

local function failed(code)
    local known = CODES[code]
    if known then return nil, known[1], known[2] end
    return abi.failed(code, "shared")
end

---@class moongate.Shared
---@field name string
---@field handle ffi.cdata*? the C side, once it was needed
local Shared = {}

local value, number, used = ffi.new("struct dict_value"), ffi.new("double[1]"), ffi.new("uint32_t[1]")
local verdict = ffi.new("struct dict_verdict")
local room_bytes = 16384
local room = ffi.new("char[?]", room_bytes)

--- Room for longer values than came so far.
local function grow(bytes)
    room_bytes = 2 * bytes
    room = ffi.new("char[?]", room_bytes)
end

local function open(self)
    local code = ffi.new("int32_t[1]")
    local handle = C.mg_dict_open(self.name, #self.name, DEFAULT_BYTES, code)
    if handle == nil then
        error(("mg.shared(%q): %s"):format(self.name, code[0] == -28 and "there are 64 of them already" or select(2, failed(code[0]))), 0)
    end
    self.handle = handle
    return handle
end

local function handle_of(self) return self.handle or open(self) end

local function check_key(what, key)
    if type(key) ~= "string" then caller.raise(("%s: expected a key, a string, got %s"):format(what, type(key))) end
end

local function check_number(what, name, given)
    if type(given) ~= "number" or given ~= given then caller.raise(("%s: %s: expected a number, got %s"):format(what, name, type(given))) end
end

--- Texts that were read before: what a reader made of each. Their number is bounded, because a client may have a say in them.
local TEXTS_MOST = 256
local function remembering(read)
    local known, count = {}, 0
    return function(text)
        local made = known[text]
        if made then return made end
        local message
        made, message = read(text)
        if not made then return nil, message end
        if count == TEXTS_MOST then known, count = {}, 0 end
        known[text], count = made, count + 1
        return made
    end
end

local ms_of = remembering(units.duration)

--- Seconds or "5m", in ms; 0: for ever.
local function ttl_of(what, ttl)
    if ttl == nil then return 0 end
    local ms, message = ms_of(ttl)
    if not ms then caller.raise(("%s: ttl: %s"):format(what, message)) end
    return ms
end

--- A value becomes the struct and the text beside it.
local function offer(what, given, ttl_ms, version)
    local kind = type(given)
    value.ttl_ms, value.version, value.number, value.bytes = ttl_ms, version, 0, 0
    if kind == "string" then
        value.kind, value.bytes = C.DICT_TEXT, #given
        return given
    elseif kind == "number" then
        value.kind, value.number = C.DICT_NUMBER, given
    elseif kind == "boolean" then
        value.kind, value.number = C.DICT_BOOLEAN, given and 1 or 0
    elseif kind == "table" then
        local ok, text = pcall(buffer.encode, given)
        if not ok then caller.raise(("%s: the table cannot be kept: %s"):format(what, tostring(text))) end
        value.kind, value.bytes = C.DICT_TABLE, #text
        return text
    else
        caller.raise(("%s: expected a string, number, boolean or table, got %s"):format(what, kind))
    end
    return nil
end

--- What the struct and the room beside it hold.
local function taken()
    local kind = value.kind
    if kind == C.DICT_TEXT then return ffi.string(room, value.bytes) end
    if kind == C.DICT_NUMBER then return value.number end
    if kind == C.DICT_BOOLEAN then return value.number ~= 0 end
    if kind == C.DICT_TABLE then return buffer.decode(ffi.string(room, value.bytes)) end
    return nil
end

--- Reads into the struct and the room: 0 or -errno.
local function read(self, key)
    local handle = handle_of(self)
    local code = C.mg_dict_get(handle, key, #key, value, room, room_bytes)
    while code == EMSGSIZE do
        grow(value.bytes)
        code = C.mg_dict_get(handle, key, #key, value, room, room_bytes)
    end
    return code
end

--- The value of a key; nil when there is none. Tables are copies.
---@param key string
---@return any value
---@return string? message
---@return string? code
function Shared:get(key)
    check_key("get", key)
    local code = read(self, key)
    if code == ENOENT then return nil end
    if code < 0 then return failed(code) end
    if value.kind >= C.DICT_LIST then return failed(-22) end
    return taken()
end

local function set(self, what, key, given, ttl, when, may_evict)
    check_key(what, key)
    local text = offer(what, given, ttl_of(what, ttl), 0)
    local code = C.mg_dict_set(handle_of(self), key, #key, value, text, when, may_evict)
    if code < 0 then return failed(code) end
    return true
end

--- Sets it: a string, number, boolean or table; nil removes it. When there is no room, others that were not asked for lately are given up.
---@param key string
---@param given any
---@param ttl? number|string seconds, or "5m"; nil: for ever
---@return boolean? done
---@return string? message
---@return string? code "too-large"
function Shared:set(key, given, ttl)
    if given == nil then
        local removed, message, code = self:delete(key)
        if removed == nil then return nil, message, code end
        return true
    end
    return set(self, "set", key, given, ttl, C.DICT_ALWAYS, 1)
end

--- Sets it when there is none; else nil, message, "exists".
---@param key string
---@param given any
---@param ttl? number|string
function Shared:add(key, given, ttl)
    return set(self, "add", key, given, ttl, C.DICT_ABSENT, 1)
end

--- Sets it when there is one; else nil, message, "absent".
---@param key string
---@param given any
---@param ttl? number|string
function Shared:replace(key, given, ttl)
    return set(self, "replace", key, given, ttl, C.DICT_PRESENT, 1)
end

--- Sets it when that takes no other's place; else nil, message, "full".
---@param key string
---@param given any
---@param ttl? number|string
function Shared:set_if_room(key, given, ttl)
    return set(self, "set_if_room", key, given, ttl, C.DICT_ALWAYS, 0)
end

--- Adds to a number, in one step for all workers: the sum. Without a number there: `initial` plus `by`, which lives for `ttl`; or, without
--- `initial`, nil, message, "absent".
---@param key string
---@param by? number 1
---@param initial? number
---@param ttl? number|string
---@return number? sum
---@return string? message
---@return string? code
function Shared:incr(key, by, initial, ttl)
    check_key("incr", key)
    by = by or 1
    check_number("incr", "by", by)
    if initial ~= nil then check_number("incr", "initial", initial) end
    local code = C.mg_dict_incr(handle_of(self), key, #key, by, initial and 1 or 0, initial or 0, ttl_of("incr", ttl), number)
    if code < 0 then return failed(code) end
    return number[0]
end

--- Gives it another time to live; nil: for ever.
---@param key string
---@param ttl? number|string
---@return boolean? done
function Shared:expire(key, ttl)
    check_key("expire", key)
    local code = C.mg_dict_expire(handle_of(self), key, #key, ttl_of("expire", ttl))
    if code < 0 then return failed(code) end
    return true
end

--- Seconds that it will live on: math.huge when it is for ever, nil when there is none.
---@param key string
---@return number? seconds
function Shared:ttl(key)
    check_key("ttl", key)
    local code = C.mg_dict_get(handle_of(self), key, #key, value, room, room_bytes)
    if code == ENOENT then return nil end
    if code < 0 and code ~= EMSGSIZE then return failed(code) end
    return value.ttl_ms == 0 and math.huge or value.ttl_ms / 1000
end

--- Removes it: was there one?
---@param key string
---@return boolean? removed
function Shared:delete(key)
    check_key("delete", key)
    local code = C.mg_dict_delete(handle_of(self), key, #key, -1)
    if code < 0 and code ~= ENOENT then return failed(code) end
    return code == 0
end

--- Puts fn's result in the place of what it is given, and nobody's change in between is lost: then fn is called again, with the new value. Nothing
--- is locked while it runs. nil removes the key. The time to live stays unless `ttl` is given.
---@param key string
---@param fn fun(value: any): any
---@param ttl? number|string
---@return any value as it is now
---@return string? message
---@return string? code "busy" when it was changed by others 200 times
function Shared:update(key, fn, ttl)
    check_key("update", key)
    if type(fn) ~= "function" then caller.raise(("update: expected a function, got %s"):format(type(fn))) end
    local handle = handle_of(self)
    for attempt = 1, ATTEMPTS do
        local code = read(self, key)
        if code < 0 and code ~= ENOENT then return failed(code) end
        if code == 0 and value.kind >= C.DICT_LIST then return failed(-22) end
        local version, left = code == 0 and value.version or 0, code == 0 and value.ttl_ms or 0
        local made
        if code == 0 then made = fn(taken()) else made = fn(nil) end
        if made == nil then
            code = version == 0 and 0 or C.mg_dict_delete(handle, key, #key, version)
            if code == ENOENT then code = 0 end
        else
            local text = offer("update", made, ttl == nil and left or ttl_of("update", ttl), version)
            code = C.mg_dict_set(handle, key, #key, value, text, C.DICT_SAME, 1)
        end
        if code >= 0 then return made end
        if code ~= EAGAIN then return failed(code) end
        if attempt % PATIENT == 0 and await.current() and await.is_yieldable() then await.breathe(1) end
    end
    return failed(EAGAIN)
end

--- ---- lists ----

local function push(self, what, key, given, last, ttl)
    check_key(what, key)
    local text = offer(what, given, ttl_of(what, ttl), 0)
    local code = C.mg_dict_push(handle_of(self), key, #key, last, value, text)
    if code < 0 then return failed(code) end
    return code
end

local function pop(self, what, key, last)
    check_key(what, key)
    local handle = handle_of(self)
    local code = C.mg_dict_pop(handle, key, #key, last, value, room, room_bytes)
    while code == EMSGSIZE do
        grow(value.bytes)
        code = C.mg_dict_pop(handle, key, #key, last, value, room, room_bytes)
    end
    if code == ENOENT then return nil end
    if code < 0 then return failed(code) end
    return taken()
end

--- Puts a value at the beginning of a list, which is made when there is none, and then lives for `ttl`: its length.
---@param key string
---@param given any
---@param ttl? number|string
---@return integer? length
function Shared:lpush(key, given, ttl) return push(self, "lpush", key, given, C.DICT_FIRST, ttl) end

--- Puts a value at the end of a list: its length.
---@param key string
---@param given any
---@param ttl? number|string
---@return integer? length
function Shared:rpush(key, given, ttl) return push(self, "rpush", key, given, C.DICT_LAST, ttl) end

--- Takes the first value of a list; nil when there is none. A list that is empty is none.
---@param key string
function Shared:lpop(key) return pop(self, "lpop", key, C.DICT_FIRST) end

--- Takes the last value of a list; nil when there is none.
---@param key string
function Shared:rpop(key) return pop(self, "rpop", key, C.DICT_LAST) end

--- How many values a list has; 0 when there is none.
---@param key string
---@return integer? length
function Shared:llen(key)
    check_key("llen", key)
    local code = read(self, key)
    if code == ENOENT then return 0 end
    if code < 0 then return failed(code) end
    if value.kind ~= C.DICT_LIST then return failed(-22) end
    return value.bytes
end

--- ---- limits ----

local SPANS = { s = 1, m = 60, h = 3600, d = 86400 }

--- "100/m" or a number in a second: how many in a second.
local function rate_of(rate)
    if type(rate) == "number" then return rate > 0 and rate < math.huge and rate or nil end
    if type(rate) ~= "string" then return nil end
    local count, span = rate:match("^%s*(%d+%.?%d*)%s*/%s*(%a)%s*$")
    if not count or not SPANS[span] or tonumber(count) <= 0 then return nil end
    return tonumber(count) / SPANS[span]
end

local known_rate = remembering(rate_of)

local function check_rate(rate)
    local known = known_rate(rate)
    if not known then caller.raise('limit: rate: expected a number in a second, or text such as "100/m"') end
    return known
end

local function window_limit(self, key, options, cost)
    local ms, message = ms_of(options.window or 0)
    if not ms or ms <= 0 then caller.raise("limit: window: " .. (message or "expected a duration above 0")) end
    check_number("limit", "count", options.count)
    return C.mg_dict_window(handle_of(self), key, #key, ms, options.count, cost, verdict)
end

local function bucket_limit(self, key, options, cost)
    local rate = check_rate(options.rate)
    local burst = options.burst or math.max(1, rate)
    check_number("limit", "burst", burst)
    return C.mg_dict_bucket(handle_of(self), key, #key, rate / 1000, burst, cost, verdict)
end

--- Is one more allowed? With `rate` and `burst` a token bucket: `burst` at once, then as they flow in. With `count` and `window` a sliding
--- window: at most `count` in any time of that length, where what is past is taken as evenly spread. Asking counts.
---@param key string
---@param options { rate?: number|string, burst?: number, count?: number, window?: number|string, cost?: number }
---@return boolean? allowed
---@return number|string left how much more would be allowed now; a message when allowed is nil
---@return number|string wait seconds until it would be allowed; math.huge: never; a code when allowed is nil
function Shared:limit(key, options)
    check_key("limit", key)
    if type(options) ~= "table" or (options.rate == nil) == (options.window == nil) then
        caller.raise("limit: expected { rate =, burst = } or { count =, window = }")
    end
    local cost = options.cost or 1
    check_number("limit", "cost", cost)
    local code = options.rate ~= nil and bucket_limit(self, key, options, cost) or options.rate == nil and window_limit(self, key, options, cost)
    if code < 0 then return failed(code) end
    local wait = verdict.wait_ms
    return verdict.allowed == 1, verdict.left, wait < 0 and math.huge or wait / 1000
end

--- ---- the whole ----

local function add_keys(list, most)
    local at, bytes, octets = 0, used[0], ffi.cast("const uint8_t *", room)
    while at < bytes and #list < most do
        local count = octets[at] + 256 * octets[at + 1]
        list[#list + 1] = ffi.string(room + at + 2, count)
        at = at + 2 + count
    end
end

--- Keys that begin with a prefix, some of them: a list, and the cursor to go on with, 0 at the end. What is there all the time is told once.
---@param cursor? number 0: from the beginning
---@param prefix? string ""
---@return string[]? keys
---@return number|string next_cursor
function Shared:scan(cursor, prefix)
    cursor, prefix = cursor or 0, prefix or ""
    check_number("scan", "cursor", cursor)
    check_key("scan", prefix)
    local handle, list = handle_of(self), {}
    local after = C.mg_dict_scan(handle, cursor, prefix, #prefix, room, room_bytes, used)
    while after == EMSGSIZE do
        grow(room_bytes)
        after = C.mg_dict_scan(handle, cursor, prefix, #prefix, room, room_bytes, used)
    end
    if after < 0 then return failed(after) end
    add_keys(list, math.huge)
    return list, after
end

--- Keys that begin with a prefix, at most so many. For looking; scan() goes through many piece by piece.
---@param prefix? string
---@param most? integer 1024
---@return string[]? keys
function Shared:keys(prefix, most)
    most = most or KEYS_MOST
    local list, cursor = {}, 0
    repeat
        local some, after, code = self:scan(cursor, prefix)
        if not some then return nil, after, code end
        for i = 1, math.min(#some, most - #list) do list[#list + 1] = some[i] end
        cursor = after
    until cursor == 0 or #list >= most
    return list
end

--- Removes all that is there: how many.
---@return integer
function Shared:flush() return C.mg_dict_flush(handle_of(self)) end

--- What is in it, and what became of the rest, since it was made.
---@return table<string, number> counts bytes, used, entries, hits, misses, sets, deletes, expired, evicted, refused and repaired
function Shared:status()
    local counts, list = ffi.new("struct dict_counts"), {}
    C.mg_dict_count(handle_of(self), counts)
    for _, name in ipairs { "bytes", "used", "entries", "hits", "misses", "sets", "deletes", "expired", "evicted", "refused", "repaired" } do
        list[name] = counts[name]
    end
    return list
end

M.Shared = Shared

local MT = { __name = "moongate.Shared" }

function MT.__index(_, name)
    local method = Shared[name]
    if method or not caller.is_user(2) then return method end
    local message, hint = names.missing("shared", name)
    caller.tell(message, hint, { about = name })
    return ghost.get()
end

local known = {}

--- The dictionary of that name; all workers have the same. It is made when it is first used, with 16 MiB unless the config says (`shared`).
---@param name string up to 63 letters, digits, "-", "_", "." and ":"
---@return moongate.Shared
M.shared = caller.forgiving(function(name)
    if known[name] then return known[name] end
    if type(name) ~= "string" or #name > 63 or not name:match("^[%w_.:-]+$") then
        caller.raise('mg.shared: expected a name of up to 63 letters, digits, "-", "_", "." and ":"')
    end
    known[name] = setmetatable({ name = name, handle = false }, MT)
    return known[name]
end)

return M
