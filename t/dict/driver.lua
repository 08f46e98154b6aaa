--- Dictionaries for specs: one in memory of its own, with functions that take and give plain values.
local ffi = require "ffi"
local c = require "t.support.c"
c.header("dict/dict.h")
local lib = c.lib()

pcall(ffi.cdef, "int close(int fd);")

local M = {}

local value, room = ffi.new("struct dict_value"), 1048576
local bytes, counts = ffi.new("char[?]", room), ffi.new("struct dict_counts")
local verdict, number, used = ffi.new("struct dict_verdict"), ffi.new("double[1]"), ffi.new("uint32_t[1]")

local WHEN = { add = lib.DICT_ABSENT, replace = lib.DICT_PRESENT, same = lib.DICT_SAME }

local Store = {}
Store.__index = Store

local function key_of(text) return ffi.new("struct dict_key", { at = text, bytes = #text }) end

--- A dictionary of so many bytes.
function M.new(size)
    local fd = lib.dict_area_make()
    assert(fd >= 0)
    local area = lib.dict_area_open(fd)
    assert(area ~= nil)
    local ret = ffi.new("struct dict *[1]")
    local code = lib.dict_area_store(area, key_of "spec", size, ret)
    assert(code == 0, "code " .. code)
    return setmetatable({ fd = fd, area = area, dict = ret[0] }, Store)
end

function Store:close()
    lib.dict_area_close(self.area)
    ffi.C.close(self.fd)
end

function Store:get(key, now)
    local code = lib.dict_get(self.dict, key_of(key), now, value, bytes, room)
    if code < 0 then return nil, code end
    if value.kind == lib.DICT_NUMBER then return value.number, value.version, value.ttl_ms end
    if value.kind == lib.DICT_LIST then return value.bytes, value.version, value.ttl_ms end
    return ffi.string(bytes, value.bytes), value.version, value.ttl_ms
end

local function offer(given, ttl, version)
    value.kind = type(given) == "number" and lib.DICT_NUMBER or lib.DICT_TEXT
    value.number = type(given) == "number" and given or 0
    value.bytes = type(given) == "string" and #given or 0
    value.ttl_ms, value.version = ttl or 0, version or 0
    return value, type(given) == "string" and given or nil
end

function Store:set(key, given, now, ttl, how, version, keep)
    local offered, text = offer(given, ttl, version)
    return lib.dict_set(self.dict, key_of(key), now, offered, text, how and WHEN[how] or lib.DICT_ALWAYS, keep and 0 or 1)
end

function Store:incr(key, by, now, initial, ttl)
    local code = lib.dict_incr(self.dict, key_of(key), now, by, initial and 1 or 0, initial or 0, ttl or 0, number)
    if code < 0 then return nil, code end
    return number[0]
end

function Store:delete(key, now) return lib.dict_delete(self.dict, key_of(key), now, nil) end
function Store:expire(key, now, ttl) return lib.dict_expire(self.dict, key_of(key), now, ttl) end

function Store:push(key, where, given, now)
    local offered, text = offer(given)
    return lib.dict_push(self.dict, key_of(key), now, where == "first" and lib.DICT_FIRST or lib.DICT_LAST, offered, text)
end

function Store:pop(key, where, now)
    local code = lib.dict_pop(self.dict, key_of(key), now, where == "first" and lib.DICT_FIRST or lib.DICT_LAST, value, bytes, room)
    if code < 0 then return nil, code end
    if value.kind == lib.DICT_NUMBER then return value.number end
    return ffi.string(bytes, value.bytes)
end

function Store:bucket(key, now, per_ms, burst, cost)
    local code = lib.dict_bucket(self.dict, key_of(key), now, per_ms, burst, cost or 1, verdict)
    if code < 0 then return nil, code end
    return verdict.allowed == 1, verdict.left, verdict.wait_ms
end

function Store:window(key, now, window_ms, most, cost)
    local code = lib.dict_window(self.dict, key_of(key), now, window_ms, most, cost or 1, verdict)
    if code < 0 then return nil, code end
    return verdict.allowed == 1, verdict.left, verdict.wait_ms
end

--- All keys, with how often each was seen.
function Store:keys(prefix, now, space)
    local seen, cursor = {}, 0
    repeat
        cursor = lib.dict_scan(self.dict, cursor, key_of(prefix), now, bytes, space or room, used)
        assert(cursor >= 0, "code " .. cursor)
        local at = 0
        while at < used[0] do
            local count = ffi.cast("uint8_t *", bytes)[at] + 256 * ffi.cast("uint8_t *", bytes)[at + 1]
            local key = ffi.string(bytes + at + 2, count)
            seen[key], at = (seen[key] or 0) + 1, at + 2 + count
        end
    until cursor == 0
    return seen
end

function Store:flush() return lib.dict_flush(self.dict) end
function Store:verify() return lib.dict_verify(self.dict) end
function Store:counts()
    lib.dict_count(self.dict, counts)
    return counts
end

M.lib, M.key_of = lib, key_of
return M
