--- JSON (RFC 8259). In: Lua values, or text; out: text, or Lua values; nil, a sentence and a status on failure,
--- never a raise.
---
--- Decoding is lua-cjson's. Encoding is our own: that library writes numbers with 14 digits (which changes
--- identifiers above 10^14) and cannot write an empty array. It runs in a coroutine of its own, so that its
--- recursion is never recorded into the trace of whoever answers with JSON; it calls no metamethod, so that no
--- code of the user runs inside.
local cjson = require "cjson"
local buffer = require "string.buffer"
local units = require "moongate.units"

local M = {}

--- Deeper values than this are refused in both directions: a value that contains itself ends here.
local DEPTH_MAX = 200

local decoder = cjson.new()
decoder.decode_max_depth(DEPTH_MAX)
decoder.decode_invalid_numbers(false)

--- Stands for JSON's null, which a table cannot hold otherwise. decode() gives it for null.
M.null = cjson.null
local null = M.null

local ARRAY = { __name = "json.array" }

--- Marks a table as an array, so that it is written as [] when it is empty and has nulls where it has holes (up
--- to `n` if it has that field).
---@param list? table
---@return table list the same table
function M.array(list)
    return setmetatable(list or {}, ARRAY)
end

local next, type, rawget, getmetatable = next, type, rawget, getmetatable
local find, format, gsub = string.find, string.format, string.gsub

local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\", ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }
for code = 0, 31 do
    local char = string.char(code)
    ESCAPES[char] = ESCAPES[char] or format("\\u%04x", code)
end
ESCAPES["\127"] = "\\u007f"

local function put_string(out, text)
    if find(text, '[%c"\\]') then text = gsub(text, '[%c"\\]', ESCAPES) end
    out:put('"', text, '"')
end

--- `"name":` for the names met before. Names are few and come again and again; bounded, because a client may
--- choose them.
local labels, label_count = {}, 0

local function put_label(out, name)
    local label = labels[name]
    if not label then
        label = '"' .. gsub(name, '[%c"\\]', ESCAPES) .. '":'
        if label_count >= 1024 then labels, label_count = {}, 0 end
        if #name <= 64 then labels[name], label_count = label, label_count + 1 end
    end
    out:put(label)
end

local function put_number(out, value)
    if value % 1 == 0 and value > -1e14 and value < 1e14 then
        out:put(value)
    elseif value - value ~= 0 then
        return "not a finite number"
    else
        out:put(units.show_number(value))
    end
end

--- Whether the table is an array, and up to where; nil and the reason when it could be neither array nor object
--- without losing something.
local function length_of(list)
    if getmetatable(list) == ARRAY then
        local n = rawget(list, "n")
        return type(n) == "number" and n or #list
    end
    local first = next(list)
    if type(first) ~= "number" then return 0 end
    local count, last = 0, 0
    for key in next, list do
        -- Names among the indexes: an object, whose numbers are written as names.
        if type(key) ~= "number" or key % 1 ~= 0 or key < 1 then return 0 end
        count = count + 1
        if key > last then last = key end
    end
    if last > 2 * count and last > 10 then
        return nil, format("a sparse array: %d values up to index %d; mark it with json.array or use strings as keys", count, last)
    end
    return last
end

local put_value

local function put_array(out, list, count, depth)
    out:put("[")
    for i = 1, count do
        if i > 1 then out:put(",") end
        local value = rawget(list, i)
        local problem = put_value(out, value, depth + 1)
        if problem then return problem end
    end
    out:put("]")
end

local function put_object(out, object, depth)
    local comma = false
    out:put("{")
    for key, value in next, object do
        if comma then out:put(",") end
        comma = true
        if type(key) == "string" then
            put_label(out, key)
        elseif type(key) == "number" then
            put_label(out, units.show_number(key))
        else
            return "a key that is a " .. type(key)
        end
        local problem = put_value(out, value, depth + 1)
        if problem then return problem end
    end
    out:put("}")
end

local function put_table(out, value, depth)
    if depth > DEPTH_MAX then
        return format("nested deeper than %d; does it contain itself?", DEPTH_MAX)
    end
    local count, problem = length_of(value)
    if not count then return problem end
    if count > 0 or getmetatable(value) == ARRAY then return put_array(out, value, count, depth) end
    return put_object(out, value, depth)
end

--- Writes one value; returns what is wrong with it.
function put_value(out, value, depth)
    local kind = type(value)
    if kind == "string" then
        put_string(out, value)
    elseif kind == "number" then
        return put_number(out, value)
    elseif kind == "table" then
        return put_table(out, value, depth)
    elseif kind == "boolean" then
        out:put(value and "true" or "false")
    elseif value == nil or value == null then
        out:put("null")
    else
        return "a " .. kind
    end
end

local resume, create, yield = coroutine.resume, coroutine.create, coroutine.yield
local out = buffer.new(4096)
--- A longer text gives the memory of the buffer back.
local KEPT_BYTES_MAX = 1048576

--- The coroutine: takes a value, gives its text, or nil and what is wrong.
local function serve(value)
    while true do
        out:reset()
        local problem = put_value(out, value, 1)
        if problem then
            value = yield(nil, problem)
        else
            local text = out:get()
            if #text > KEPT_BYTES_MAX then out:free() end
            value = yield(text)
        end
    end
end

local server = create(serve)

--- The path to the value that put_value() complains about: ".user.tags[3]".
local function path_to_problem(value, depth)
    if type(value) ~= "table" or depth > DEPTH_MAX or not length_of(value) then return "" end
    for key, inner in next, value do
        if type(key) ~= "string" and type(key) ~= "number" then return "" end
        out:reset()
        local problem = put_value(out, inner, depth + 1)
        if problem then
            local step = type(key) == "number" and format("[%s]", key) or "." .. key
            -- Of a value that contains itself the first step is enough.
            if find(problem, "^nested") then return step end
            return step .. path_to_problem(inner, depth + 1)
        end
    end
    return ""
end

--- JSON text of a value. Tables with the keys 1..n are arrays (small holes are null), all others are objects;
--- an empty table is `{}` unless marked with array(). Numbers keep their exact value. Strings are taken to be
--- UTF-8 and written as they are. Order of names: any.
---@param value any
---@return string? text
---@return string? message
function M.encode(value)
    local ok, text, problem = resume(server, value)
    if ok and text then return text end
    if not ok then
        -- No memory: the one error that can happen inside.
        server = create(serve)
        return nil, "cannot encode as JSON: " .. tostring(text)
    end
    local path = path_to_problem(value, 1)
    return nil, format("cannot encode as JSON: %s%s", problem, path == "" and "" or " at value" .. path)
end

local FOUND = {
    T_END = "the end", T_INVALID = "invalid token", T_OBJ_BEGIN = "{", T_OBJ_END = "}", T_ARR_BEGIN = "[", T_ARR_END = "]", T_STRING = "a string",
    T_NUMBER = "a number", T_BOOLEAN = "a boolean", T_NULL = "null", T_COLON = ":", T_COMMA = ",",
}

--- The value of JSON text. null is json.null; objects and arrays are plain tables (an empty array reads as an
--- empty table). Of duplicate names the last wins. More lenient than the RFC in two points: raw control
--- characters in strings, and "1." for 1.
---@param text string
---@return any value
---@return string? message
---@return integer? status 400
function M.decode(text)
    local ok, value = pcall(decoder.decode, text)
    if ok then return value end
    return nil, "bad JSON: " .. value:gsub("T_%u[%u_]*", FOUND):gsub("^%u", string.lower), 400
end

return M
