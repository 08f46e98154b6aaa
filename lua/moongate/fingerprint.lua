--- A number for what a route does, so that two generations of a site can be compared: its method, host, pattern and options, and the
--- source lines of its handler, its predicate and the filters around it. Lines that only moved are the same. What a handler calls
--- elsewhere is not seen.
local ffi = require "ffi"
local bit = require "bit"
local caller = require "moongate.caller"
local descriptor = require "moongate.descriptor"
local pattern = require "moongate.pattern"

local M = {}

-- FNV-1a, 64 bits.
local BASIS, PRIME = 0xcbf29ce484222325ULL, 0x100000001b3ULL

local function hash(text)
    local sum, bytes = BASIS, ffi.cast("const uint8_t *", text)
    for at = 0, #text - 1 do sum = bit.bxor(sum, bytes[at]) * PRIME end
    return bit.tohex(sum)
end

--- Where each line of a text begins, kept for the next function of the same file.
local function line_starts(sources, file)
    local known = sources.starts[file]
    if known then return known end
    local text, starts = sources.files[file], { 1 }
    for at in (text or ""):gmatch("\n()") do starts[#starts + 1] = at end
    sources.starts[file] = starts
    return starts
end

--- The lines that a function was written on. One whose file is not known is told by its place.
local function lines_of(sources, fn)
    local info = debug.getinfo(fn, "S")
    local file = info.what ~= "C" and caller.file_of(info.source)
    local text = file and sources.files[file]
    if not text then return info.source .. ":" .. info.linedefined end
    local starts = line_starts(sources, file)
    local from, after = starts[info.linedefined], starts[info.lastlinedefined + 1]
    return from and text:sub(from, (after or #text + 1) - 1) or ""
end

--- Options and other plain values as text, in a fixed order. An app or a class that hangs in it is not followed far.
local function shown(value, depth)
    if type(value) == "table" and depth < 6 then
        local keys = {}
        for key in pairs(value) do
            if key ~= "where" and key ~= "handle" then keys[#keys + 1] = key end
        end
        table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
        local parts = {}
        for at, key in ipairs(keys) do parts[at] = tostring(key) .. "=" .. shown(value[key], depth + 1) end
        return "{" .. table.concat(parts, ",") .. "}"
    end
    local kind = type(value)
    return (kind == "string" or kind == "number" or kind == "boolean") and kind .. ":" .. tostring(value) or kind
end

local function handler_text(sources, handler)
    if descriptor.is(handler) then return shown(handler, 0) end
    return type(handler) == "function" and lines_of(sources, handler) or shown(handler, 0)
end

local function filters_text(sources, filters, route)
    local parts = {}
    for _, filter in ipairs(filters) do
        local relation = pattern.covers(filter, route)
        if relation ~= "never" then parts[#parts + 1] = relation .. filter.pattern .. lines_of(sources, filter.fn) end
    end
    return table.concat(parts, "\0")
end

--- A function that gives the fingerprint of each route of an app, 16 hex digits.
---@param apps moongate.App
---@param read moongate.Snapshot the files that it was made of
---@return fun(route: table): string
function M.of(apps, read)
    local sources = { files = read.files, starts = {} }
    return function(route)
        return hash(table.concat({
            table.concat(route.methods or { "*" }, ","), route.host or "", route.pattern, shown(route.options, 0),
            route.when and lines_of(sources, route.when) or "", handler_text(sources, route.handler), filters_text(sources, apps.filters, route),
        }, "\0"))
    end
end

return M
