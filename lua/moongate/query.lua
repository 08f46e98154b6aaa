--- Query strings and urlencoded bodies (WHATWG URL §5, RFC 3986). In: text as it came; out: a plain table from
--- name to the first value of that name. Later values of the same name are kept aside, in the table's
--- metatable, for `all`: so no name is reserved.
local units = require "moongate.units"

local M = {}

local find, sub, gsub, byte, format = string.find, string.sub, string.gsub, string.byte, string.format

--- More arguments than this are refused: each costs a table entry, and a client chooses how many there are.
local ARGUMENTS_MAX = 1000
M.ARGUMENTS_MAX = ARGUMENTS_MAX

local DECODED, ENCODED = {}, {}
for code = 0, 255 do
    local char = string.char(code)
    ENCODED[char] = format("%%%02X", code)
    for _, digits in ipairs { "%02x", "%02X" } do DECODED[format(digits, code)] = char end
    -- Mixed case: "aB", "Ab".
    local high, low = format("%X", code / 16), format("%X", code % 16)
    DECODED[high:lower() .. low] = char
    DECODED[high .. low:lower()] = char
end

--- "+" is a space; a percent sign without two hexadecimal digits stays what it is.
---@param text string
---@return string
local function decode(text)
    if find(text, "+", 1, true) then text = gsub(text, "%+", " ") end
    if find(text, "%", 1, true) then text = gsub(text, "%%(%x%x)", DECODED) end
    return text
end
M.decode = decode

--- Everything but unreserved characters (RFC 3986 §2.3) as escapes: fit for a path segment, a query and a form.
---@param text string
---@return string
local function encode(text)
    return (gsub(text, "[^%w%-._~]", ENCODED))
end
M.encode = encode

--- Adds a value to a table as parse() makes it.
---@param values table<string, string>
---@param name string
---@param value any
function M.add(values, name, value)
    local first = values[name]
    if first == nil then
        values[name] = value
        return
    end
    local store = getmetatable(values)
    if not store then
        store = { lists = {} }
        setmetatable(values, store)
    end
    local list = store.lists[name]
    if list then
        list[#list + 1] = value
    else
        store.lists[name] = { first, value }
    end
end
local add = M.add

--- All values of a name in the order they came; an empty list when there is none.
---@param values table<string, string>
---@param name string
---@return string[]
function M.all(values, name)
    local store = getmetatable(values)
    local list = store and store.lists and store.lists[name]
    if list then return list end
    return { values[name] }
end

--- Reads "a=1&b=2". Blank values are kept ("a" and "a=" are both ""), empty pieces ("&&") are not arguments.
---@param text string
---@return table<string, string>? values
---@return string? message
---@return integer? status 400 when there are more than 1,000 arguments
function M.parse(text)
    local values, count = {}, 0
    local from, last = 1, #text
    local equals = 0 -- the next "=" at or after `from`, found once: text without any is not searched again and again
    while from <= last do
        local stop = (find(text, "&", from, true) or last + 1) - 1
        if stop >= from then
            count = count + 1
            if count > ARGUMENTS_MAX then
                return nil, "more than " .. ARGUMENTS_MAX .. " arguments", 400
            end
            if equals < from then equals = find(text, "=", from, true) or last + 1 end
            if equals > stop then
                add(values, decode(sub(text, from, stop)), "")
            else
                add(values, decode(sub(text, from, equals - 1)), decode(sub(text, equals + 1, stop)))
            end
        end
        from = stop + 2
    end
    return values
end

local function text_of(name, value)
    local kind = type(value)
    if kind == "string" then return value end
    if kind == "number" then return units.show_number(value) end
    if kind == "boolean" then return tostring(value) end
    error(format("query.build: %q: expected a string, number, boolean or a list of them, got %s", name, kind), 4)
end

local function add_pieces(pieces, name, list)
    local prefix = encode(name) .. "="
    for _, value in ipairs(list) do pieces[#pieces + 1] = prefix .. encode(text_of(name, value)) end
end

--- The reverse of parse: `{ q = "a b", tag = {"x", "y"} }` is "q=a%20b&tag=x&tag=y", names in byte order.
---@param values table<string, string|number|boolean|table>
---@return string
function M.build(values)
    local names, pieces = {}, {}
    for name in pairs(values) do
        if type(name) ~= "string" then
            error("query.build: expected names that are strings, got " .. tostring(name), 2)
        end
        names[#names + 1] = name
    end
    table.sort(names)
    for _, name in ipairs(names) do
        local value = values[name]
        add_pieces(pieces, name, type(value) == "table" and value or M.all(values, name))
    end
    return table.concat(pieces, "&")
end

return M
