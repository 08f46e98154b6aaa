--- Cookies (RFC 6265bis). In: the value of a Cookie field, or a name, a value and what the browser shall do
--- with them; out: a table, or the value of a Set-Cookie field. What a browser would drop or misread is refused
--- here, with the reason.
local units = require "moongate.units"

local M = {}

local find, sub, byte = string.find, string.sub, string.byte
local QUOTE = byte('"')

--- Name plus value, and each attribute's value, as browsers take them (RFC 6265bis §5.6).
local PAIR_BYTES_MAX, ATTRIBUTE_BYTES_MAX = 4096, 1024

local OPTIONS = {
    path = "string", domain = "string", max_age = "duration", expires = "number", secure = "boolean", http_only = "boolean",
    same_site = "string", partitioned = "boolean",
}
local SAME_SITE = { strict = "Strict", lax = "Lax", none = "None" }

--- Both ends without spaces and tabs; a value in double quotes without these.
local function trimmed(text, from, to)
    while from <= to and (byte(text, from) == 32 or byte(text, from) == 9) do from = from + 1 end
    while to >= from and (byte(text, to) == 32 or byte(text, to) == 9) do to = to - 1 end
    if to > from and byte(text, from) == QUOTE and byte(text, to) == QUOTE then
        from, to = from + 1, to - 1
    end
    return sub(text, from, to)
end

--- Reads "a=1; b=2". The first of several cookies with one name wins: browsers send the most specific path
--- first. Values are not decoded; pieces without a name are dropped.
---@param text string
---@return table<string, string>
function M.parse(text)
    local cookies = {}
    local from, last = 1, #text
    local equals = 0
    while from <= last do
        local stop = (find(text, ";", from, true) or last + 1) - 1
        if equals < from then equals = find(text, "=", from, true) or last + 1 end
        if equals <= stop then
            local name = trimmed(text, from, equals - 1)
            if name ~= "" and cookies[name] == nil then cookies[name] = trimmed(text, equals + 1, stop) end
        end
        from = stop + 2
    end
    return cookies
end

local function check_pair(name, value)
    if type(name) ~= "string" or not find(name, "^[%w!#$%%&'*+%-.^_`|~]+$") then
        return ("cookie name %q: expected letters, digits and !#$%%&'*+-.^_`|~"):format(tostring(name))
    end
    if type(value) ~= "string" then
        return ("cookie %q: expected a string as its value, got %s"):format(name, type(value))
    end
    -- cookie-octet: printable ASCII without space, quote, comma, semicolon and backslash.
    if find(value, '[%z\1-\32",;\\\127-\255]') then
        return ("cookie %q: the value holds bytes that a cookie cannot carry; encode it first, for example with query.encode"):format(name)
    end
    if #name + #value > PAIR_BYTES_MAX then
        return ("cookie %q: name and value are longer than %d bytes, browsers drop it"):format(name, PAIR_BYTES_MAX)
    end
end

local function check_option(name, key, value)
    local expected = OPTIONS[key]
    if not expected then
        return ("cookie %q: %s: no such option; there are path, domain, max_age, expires, secure, http_only, same_site, partitioned")
            :format(name, tostring(key))
    end
    if value == false and (expected == "boolean" or key == "same_site") then return nil end
    if expected == "duration" then
        local _, message = units.duration(value)
        return message and ("cookie %q: %s: %s"):format(name, key, message)
    end
    if type(value) ~= expected then
        return ("cookie %q: %s: expected a %s, got %s"):format(name, key, expected, type(value))
    end
    if expected == "string" and (find(value, "[%c;\127-\255]") or #value > ATTRIBUTE_BYTES_MAX) then
        return ("cookie %q: %s: %q cannot be sent in an attribute"):format(name, key, value)
    end
end

--- What the values mean, defaults filled in; or nil and what is wrong.
local function settle(name, options, https)
    for key, value in pairs(options) do
        local problem = check_option(name, key, value)
        if problem then return nil, problem end
    end
    local cookie = {
        path = options.path or "/", domain = options.domain, expires = options.expires, partitioned = options.partitioned,
        max_age = options.max_age and math.floor(units.duration(options.max_age) / 1000),
    }
    cookie.secure = options.secure
    if cookie.secure == nil then cookie.secure = https end
    cookie.http_only = options.http_only ~= false
    if options.same_site ~= false then
        cookie.same_site = SAME_SITE[(options.same_site or "lax"):lower()]
        if not cookie.same_site then
            return nil, ('cookie %q: same_site: expected "Strict", "Lax", "None" or false, got %q'):format(name, options.same_site)
        end
    end
    return cookie
end

--- Rules between options that browsers enforce by dropping the cookie silently (RFC 6265bis §4.1.2, §4.1.3).
local function check_rules(name, cookie)
    local function bad(reason) return ("cookie %q: %s"):format(name, reason) end
    local prefix = name:lower():match("^__%a+%-")
    if sub(cookie.path, 1, 1) ~= "/" then return bad('path: expected one that begins with "/"') end
    if cookie.domain and not find(cookie.domain, "^[%w.-]+$") then return bad("domain: expected a host name") end
    local at = cookie.expires
    if at and not (at > -62135596800 and at < 253402300800) then return bad("expires: expected seconds since 1970 of a year up to 9999") end
    if not cookie.secure then
        if prefix == "__secure-" or prefix == "__host-" then return bad("names that begin with " .. prefix .. " need secure = true") end
        if cookie.same_site == "None" then return bad('same_site = "None" needs secure = true') end
        if cookie.partitioned then return bad("partitioned needs secure = true") end
    end
    if prefix == "__host-" and (cookie.domain or cookie.path ~= "/") then
        return bad('names that begin with __host- need path = "/" and no domain')
    end
end

---@class moongate.CookieOptions
---@field path? string "/"
---@field domain? string
---@field max_age? number|string seconds or "1h"
---@field expires? number seconds since 1970
---@field secure? boolean true when the request came by https
---@field http_only? boolean true
---@field same_site? "Strict"|"Lax"|"None"|false "Lax"
---@field partitioned? boolean

--- The value of a Set-Cookie field. Defaults: Path=/, HttpOnly, SameSite=Lax, Secure when the request came by
--- https. To delete a cookie set it to "" with `max_age = 0` and the path and domain it was set with.
---@param name string
---@param value string
---@param options? moongate.CookieOptions
---@param https? boolean the request came over TLS
---@return string? field_value
---@return string? message
function M.render(name, value, options, https)
    local problem = check_pair(name, value)
    if problem then return nil, problem end
    local cookie, message = settle(name, options or {}, https)
    if not cookie then return nil, message end
    problem = check_rules(name, cookie)
    if problem then return nil, problem end
    local text = name .. "=" .. value .. "; Path=" .. cookie.path
    if cookie.domain then text = text .. "; Domain=" .. cookie.domain end
    if cookie.max_age then text = text .. ("; Max-Age=%d"):format(cookie.max_age) end
    if cookie.expires then text = text .. os.date("!; Expires=%a, %d %b %Y %H:%M:%S GMT", cookie.expires) end
    if cookie.secure then text = text .. "; Secure" end
    if cookie.http_only then text = text .. "; HttpOnly" end
    if cookie.same_site then text = text .. "; SameSite=" .. cookie.same_site end
    if cookie.partitioned then text = text .. "; Partitioned" end
    return text
end

return M
