--- Values checked by a schema. A type says what it expects and turns what the user wrote into what the program uses; what
--- does not fit is reported with its path, and checking goes on, so that all mistakes are told at once.
---
--- A type is a table: `takes` (set of Lua types it can read), `expected` (its name in a message) and
--- `check(value, path, report)`, which returns the normalised value, or nil after `report(path, message, hint)`.
local caller = require "moongate.caller"
local units = require "moongate.units"

local M = {}

local QUOTED_MAX = 60

local CONTROLS = { ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

--- Text in quotes, on one line.
---@return string
function M.quoted(text)
    local cut = #text > QUOTED_MAX and "…" or ""
    local escaped = text:sub(1, QUOTED_MAX):gsub('["\\]', "\\%0"):gsub("%c", function(control)
        return CONTROLS[control] or ("\\%03d"):format(control:byte())
    end)
    return ('"%s"%s'):format(escaped, cut)
end

--- A value as it is quoted in messages.
---@return string
function M.shown(value)
    local kind = type(value)
    if kind == "nil" then return "nothing" end
    if kind == "string" then return M.quoted(value) end
    if kind == "number" then return value < math.huge and value > -math.huge and units.show_number(value) or tostring(value) end
    if kind == "boolean" then return tostring(value) end
    return "a " .. kind
end

--- The path of `key` below `path`: `limits.head`, `listen[2]`, `hosts["*.example.org"]`.
---@return string
function M.join(path, key)
    if type(key) ~= "string" then return ("%s[%s]"):format(path, tostring(key)) end
    if not key:match("^[%a_][%w_]*$") then return ("%s[%s]"):format(path, M.quoted(key)) end
    return path == "" and key or path .. "." .. key
end

--- Edits between two words, a swap of neighbours counting as one.
local function distance(a, b)
    local before, last, row = nil, {}, nil
    for j = 0, #b do last[j] = j end
    for i = 1, #a do
        row = { [0] = i }
        for j = 1, #b do
            local same = a:byte(i) == b:byte(j)
            row[j] = math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (same and 0 or 1))
            if before and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
                row[j] = math.min(row[j], before[j - 2] + 1)
            end
        end
        before, last = last, row
    end
    return last[#b]
end
M.distance = distance

--- The word that was probably meant, or nil when none is near.
---@param word string
---@param words string[]
---@return string?
function M.nearest(word, words)
    local best, best_distance = nil, math.max(1, math.floor(#word / 3)) + 1
    for _, candidate in ipairs(words) do
        local d = distance(word:lower(), candidate:lower())
        if d < best_distance then best, best_distance = candidate, d end
    end
    return best
end

--- "did you mean …?" or, when nothing is near, what there is.
---@return string
function M.suggestion(word, words)
    local near = M.nearest(word, words)
    if near then return ("did you mean %q?"):format(near) end
    return "known here: " .. table.concat(words, ", ")
end

local function set(...)
    local members = {}
    for _, name in ipairs { ... } do members[name] = true end
    return members
end

--- A type from what it expects and a function: value → normalised, or nil and optionally its own message and hint.
function M.custom(expected, takes, read)
    return {
        expected = expected,
        takes = set(unpack(takes)),
        check = function(value, path, report)
            local normalised, message, hint = read(value)
            if normalised == nil then
                report(path, message or ("expected %s, got %s"):format(expected, M.shown(value)), hint)
            end
            return normalised
        end,
    }
end

local function of_kind(kind, expected)
    return M.custom(expected, { kind }, function(value)
        if type(value) == kind then return value end
        return nil
    end)
end

M.boolean = of_kind("boolean", "true or false")
M.func = of_kind("function", "a function")
M.string = M.custom("a string", { "string" }, function(value)
    if type(value) ~= "string" then return nil end
    if value == "" then return nil, "expected a string, got an empty one" end
    return value
end)

--- A whole number within bounds.
function M.count(least, most)
    local expected = ("a whole number from %s to %s"):format(units.show_number(least), units.show_number(most))
    return M.custom(expected, { "number" }, function(value)
        if type(value) ~= "number" or value % 1 ~= 0 or value < least or value > most then return nil end
        return value
    end)
end

--- "5 minutes" was probably meant to be "5m".
local function guess(read, value)
    local digits, letter = tostring(value):match("^%s*(%d+%.?%d*)%s*(%a)%a*%s*$")
    local short = digits and digits .. letter:lower()
    return short and short ~= value and read(short) and ("did you mean %q?"):format(short) or nil
end

--- What a limit says: from the least to the most, as users write them.
local function measured(read, show, noun, least, most)
    local expected = ("%s from %q to %q"):format(noun, show(least), show(most))
    return M.custom(expected, { "string", "number" }, function(value)
        local amount, message = read(value)
        if not amount then return nil, message, guess(read, value) end
        if amount < least or amount > most then return nil end
        return amount
    end)
end

--- A size such as "16k", in bytes.
function M.size(least, most) return measured(units.size, units.show_size, "a size", least, most) end

--- A duration such as "10s", in milliseconds.
function M.duration(least, most)
    return measured(units.duration, units.show_duration, "a duration", least, most)
end

--- One of some words.
function M.choice(words)
    local quoted = {}
    for at, word in ipairs(words) do quoted[at] = ("%q"):format(word) end
    return M.custom(table.concat(quoted, ", ", 1, #quoted - 1) .. (#quoted > 1 and " or " or "") .. quoted[#quoted],
        { "string" }, function(value)
            for _, word in ipairs(words) do
                if value == word then return value end
            end
            local near = type(value) == "string" and M.nearest(value, words)
            for _, word in ipairs(words) do -- "warning" is meant to be "warn"
                if not near and type(value) == "string" and (value:sub(1, #word) == word or #value > 2 and word:sub(1, #value) == value) then near = word end
            end
            return nil, nil, near and ("did you mean %q?"):format(near) or nil
        end)
end

--- Exactly this value.
function M.only(constant)
    return M.custom(tostring(constant), { type(constant) }, function(value)
        if value == constant then return value end
        return nil
    end)
end

--- The first of some types that can read a value of this Lua type. `false` is a value like any other.
function M.either(types)
    local names, takes = {}, {}
    for at, member in ipairs(types) do
        names[at] = member.expected
        for kind in pairs(member.takes) do takes[kind] = true end
    end
    local expected = table.concat(names, " or ")
    return {
        expected = expected,
        takes = takes,
        check = function(value, path, report)
            for _, member in ipairs(types) do
                if member.takes[type(value)] then return member.check(value, path, report) end
            end
            report(path, ("expected %s, got %s"):format(expected, M.shown(value)))
            return nil
        end,
    }
end

--- A list of one type; a single value stands for a list of one. `least`: how many it must have.
function M.list(item, least, most)
    local takes = set("table")
    for kind in pairs(item.takes) do takes[kind] = true end
    local function check(value, path, report)
        if type(value) ~= "table" or getmetatable(value) then
            local single = item.check(value, path, report)
            return single ~= nil and { single } or nil
        end
        local normalised, whole = {}, true
        for key in pairs(value) do
            if type(key) ~= "number" then
                report(path, "expected a list, got a table with names", ("each entry is %s"):format(item.expected))
                return nil
            end
        end
        for at, entry in ipairs(value) do
            normalised[at] = item.check(entry, M.join(path, at), report)
            whole = whole and normalised[at] ~= nil
        end
        if #value < (least or 0) then
            report(path, ("expected %s, got an empty list"):format(item.expected))
            return nil
        end
        if #value > (most or math.huge) then
            report(path, ("expected at most %d, got %d"):format(most, #value))
            return nil
        end
        return whole and normalised or nil
    end
    return { expected = item.expected .. ", or a list of such", takes = takes, check = check }
end

--- A table from keys of one type to values of another.
function M.map(key_type, value_type)
    local expected = ("a table: %s = %s"):format(key_type.expected, value_type.expected)
    local function check(value, path, report)
        if type(value) ~= "table" then
            report(path, ("expected %s, got %s"):format(expected, M.shown(value)))
            return nil
        end
        local keys, normalised = {}, {}
        for key in pairs(value) do keys[#keys + 1] = key end
        table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
        for _, key in ipairs(keys) do
            local at = M.join(path, key)
            local name = key_type.check(key, at, report)
            local entry = value_type.check(value[key], at, report)
            if name ~= nil then normalised[name] = entry end
        end
        return normalised
    end
    return { expected = expected, takes = set("table"), check = check }
end

--- The keys that were not asked for, in a stable order.
local function unknown_keys(value, fields)
    local known, unknown = {}, {}
    for _, field in ipairs(fields) do known[field.name] = true end
    for key in pairs(value) do
        if not known[key] then unknown[#unknown + 1] = key end
    end
    table.sort(unknown, function(a, b) return tostring(a) < tostring(b) end)
    return unknown
end

--- A key that stands at the wrong depth is named with its full path; else the nearest name here.
local function key_hint(fields, key)
    local names = {}
    for at, field in ipairs(fields) do
        names[at] = field.name
        for _, inner in ipairs(field.type.fields or {}) do
            if inner.name == key then return ("did you mean %q?"):format(field.name .. "." .. key) end
        end
    end
    return M.suggestion(tostring(key), names)
end

--- A table with known keys. A field: { name =, type =, default = (as a user would write it), required = }.
---@param fields table[]
function M.record(fields)
    local function check(value, path, report)
        if type(value) ~= "table" then
            report(path, "expected a table, got " .. M.shown(value))
            return nil
        end
        for _, key in ipairs(unknown_keys(value, fields)) do
            report(M.join(path, key), "unknown key", key_hint(fields, key))
        end
        local normalised = {}
        for _, field in ipairs(fields) do
            local given = value[field.name]
            if given == nil then given = field.default end
            if given ~= nil then
                normalised[field.name] = field.type.check(given, M.join(path, field.name), report)
            elseif field.required then
                report(M.join(path, field.name), "missing: expected " .. field.type.expected)
            end
        end
        return normalised
    end
    return { expected = "a table", takes = set("table"), fields = fields, check = check }
end

--- Checks a value. The second result lists what is wrong: { key =, message =, hint = }; empty when all is well.
---@param kind table
---@return any normalised
---@return table[] problems
function M.check(kind, value, path)
    local found = {}
    local normalised = kind.check(value, path or "", function(key, message, hint)
        found[#found + 1] = { key = key, message = message, hint = hint }
    end)
    return normalised, found
end

--- Checks an argument of the public API: what is wrong is told at the line that called the library. What is sound of it.
---@param what string the call, as in "app:get"
---@param argument? integer which argument it is
function M.demand(kind, value, what, argument)
    local normalised, found = M.check(kind, value, "")
    if #found == 0 then return normalised end
    local lines, is_recording = {}, caller.is_recording()
    for at, problem in ipairs(found) do
        local key = problem.key ~= "" and problem.key .. ": " or ""
        if is_recording then
            caller.tell(("%s: %s%s"):format(what, key, problem.message), problem.hint, { what = what, argument = argument, key = problem.key })
        end
        lines[at] = key .. problem.message .. (problem.hint and " (" .. problem.hint .. ")" or "")
    end
    if not is_recording then caller.raise(what .. ": " .. table.concat(lines, "; ")) end
    return type(normalised) == "table" and normalised or {}
end

return M
