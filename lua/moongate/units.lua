--- Durations and sizes as users write them: `"300ms"`, `"10s"`, `"16k"`. In: a number or a string; out: milliseconds or
--- bytes, or nil and a sentence. It knows no keys and no limits: whoever asks says what the value was for.
local M = {}

local MS = { us = 0.001, ms = 1, s = 1000, m = 60000, h = 3600000, d = 86400000 }
local BYTES = { [""] = 1, b = 1, k = 1024, m = 1024 ^ 2, g = 1024 ^ 3, t = 1024 ^ 4 }

local SHORT = { [14] = "%.14g", [15] = "%.15g", [16] = "%.16g" }

local function shown(value)
    if type(value) == "string" then return ("%q"):format(value) end
    return tostring(value)
end

--- A number that is not NaN, not infinite and not below 0.
local function is_amount(value)
    return type(value) == "number" and value >= 0 and value < math.huge
end

--- Digits with an optional fraction, then a unit: `1.5s`. Nothing else that tonumber() would take (hexadecimal,
--- exponents).
local function split(text)
    local digits, unit = text:match("^%s*(%d+%.?%d*)%s*(%a*)%s*$")
    return tonumber(digits), unit
end

--- A duration in milliseconds. A number counts seconds; a string needs a unit: us, ms, s, m, h or d.
---@param value number|string
---@return number? ms
---@return string? message
function M.duration(value)
    if is_amount(value) then return value * 1000 end
    if type(value) == "string" then
        local amount, unit = split(value)
        local factor = amount and MS[unit]
        if factor then return amount * factor end
        if amount == 0 and unit == "" then return 0 end
    end
    return nil, 'expected a duration such as "300ms", "10s" or a number of seconds, got ' .. shown(value)
end

--- A size in bytes, a whole number. A number counts bytes; units are k, m, g and t (1,024-based), any case, a
--- "b" or "ib" after them is allowed: "16k", "16kb" and "16KiB" are the same.
---@param value number|string
---@return number? bytes
---@return string? message
function M.size(value)
    if is_amount(value) and value % 1 == 0 then return value end
    if type(value) == "string" then
        local amount, unit = split(value)
        local factor = amount and BYTES[(unit:lower():gsub("^([kmgt])i?b$", "%1"))]
        local bytes = factor and amount * factor
        if bytes and bytes % 1 == 0 then return bytes end
    end
    return nil, 'expected a size such as "16k", "1m" or a number of bytes, got ' .. shown(value)
end

--- A duration as a user would write it: `1500` is "1.5s", `90000` is "90s", `120000` is "2m".
---@param ms number
---@return string
function M.show_duration(ms)
    for _, unit in ipairs { "d", "h", "m" } do
        if ms >= MS[unit] and ms % MS[unit] == 0 then return ("%d%s"):format(ms / MS[unit], unit) end
    end
    if ms >= 1000 then return ("%gs"):format(ms / 1000) end
    return ("%gms"):format(ms)
end

local WHOLE_MAX = 9999 -- of a unit; beyond, the plain number is read more easily

--- A size as a user would write it: `16384` is "16k", `1000` is "1000", `4000000000` is itself.
---@param bytes number
---@return string
function M.show_size(bytes)
    for _, unit in ipairs { "t", "g", "m", "k" } do
        if bytes >= BYTES[unit] and bytes % BYTES[unit] == 0 and bytes / BYTES[unit] <= WHOLE_MAX then
            return ("%d%s"):format(bytes / BYTES[unit], unit)
        end
    end
    return ("%d"):format(bytes)
end

--- A number as the shortest decimal text that reads back as the same number: `2^53` is "9007199254740992",
--- `0.1` is "0.1".
---@param value number finite
---@return string
function M.show_number(value)
    if value % 1 == 0 and value > -1e16 and value < 1e16 then return ("%d"):format(value) end
    for digits = 14, 16 do
        local text = SHORT[digits]:format(value)
        if tonumber(text) == value then return text end
    end
    return ("%.17g"):format(value)
end

return M
