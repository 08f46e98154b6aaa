--- Media types and what a client accepts (RFC 9110 §8.3.1, §12.5). In: field values as they came; out: parsed
--- types, or which of the offers the client likes best. A malformed member of a list is ignored, the rest
--- counts.
local M = {}

local TOKEN = "[%w!#$%%&'*+%-.^_`|~]+"

--- Names that users say for types that everybody knows.
local SHORT = {
    json = "application/json", html = "text/html", text = "text/plain", txt = "text/plain", xml = "application/xml", css = "text/css",
    csv = "text/csv", js = "text/javascript", form = "application/x-www-form-urlencoded", multipart = "multipart/form-data",
    events = "text/event-stream", bytes = "application/octet-stream", png = "image/png", svg = "image/svg+xml", pdf = "application/pdf",
}

--- One parameter at `at`: name, value and where it ends; nil when there is none.
local function parameter(text, at)
    local name, stop = text:match("^%s*;%s*(" .. TOKEN .. ")=()", at)
    if not name then return nil end
    local value, after = text:match("^(" .. TOKEN .. ")()", stop)
    if not value then
        value, after = text:match('^"([^"\\]*)"()', stop)
    end
    if not value then
        -- With escapes: take it byte by byte (RFC 9110 §5.6.4).
        if text:sub(stop, stop) ~= '"' then return nil end
        local pieces, i = {}, stop + 1
        while text:sub(i, i) ~= '"' do
            if i > #text then return nil end
            if text:sub(i, i) == "\\" then i = i + 1 end
            pieces[#pieces + 1] = text:sub(i, i)
            i = i + 1
        end
        value, after = table.concat(pieces), i + 1
    end
    return name:lower(), value, after
end

--- Parameters from `at` on: a table, and where they end; nil and the name when one is given twice.
local function parameters(text, at)
    local params = {}
    while true do
        local name, value, after = parameter(text, at)
        if not name then
            local empty = text:match("^%s*;()", at)
            if not empty then return params, at end
            at = empty
        else
            if params[name] then return nil, name end
            params[name], at = value, after
        end
    end
end
M.parameters = parameters

---@class moongate.MediaType
---@field type string lower case
---@field subtype string lower case
---@field params table<string, string> names in lower case, values as they came

--- Reads "text/html; charset=utf-8".
---@param text string
---@return moongate.MediaType? media
---@return string? message
function M.media_type(text)
    local kind, subtype, at = text:match("^%s*(" .. TOKEN .. ")/(" .. TOKEN .. ")()")
    if not kind then return nil, ("expected a media type such as \"text/html\", got %q"):format(text) end
    local params, stop = parameters(text, at)
    if not params then return nil, ("parameter %q is given twice in %q"):format(stop, text) end
    if text:find("%S", stop) then return nil, ("bad parameters in media type %q"):format(text) end
    return { type = kind:lower(), subtype = subtype:lower(), params = params }
end

--- A weight in thousandths, 1000 when there is none; nil when it is malformed (RFC 9110 §12.4.2).
local function weight(text)
    if not text then return 1000 end
    if text:find("^0%.?%d?%d?%d?$") or text:find("^1%.?0?0?0?$") then return math.floor(tonumber(text) * 1000 + 0.5) end
    return nil
end

--- The members of a list: commas inside quotes do not separate.
local function members(text)
    local found, from, quoted, at = {}, 1, false, 1
    while true do
        at = text:find('[,"\\]', at)
        if not at then break end
        local char = text:sub(at, at)
        if char == '"' then
            quoted = not quoted
        elseif char == "\\" then
            if quoted then at = at + 1 end
        elseif not quoted then
            found[#found + 1] = text:sub(from, at - 1)
            from = at + 1
        end
        at = at + 1
    end
    found[#found + 1] = text:sub(from)
    return found
end

local function parse_ranges(text)
    local ranges = {}
    for _, member in ipairs(members(text)) do
        local media = M.media_type(member)
        local q = media and weight(media.params.q)
        if q and (media.type ~= "*" or media.subtype == "*") then
            media.params.q, media.q = nil, q
            ranges[#ranges + 1] = media
        end
    end
    return ranges
end

local function parse_codings(text)
    local codings = {}
    for member in text:gmatch("[^,]+") do
        local name, at = member:match("^%s*(" .. TOKEN .. ")()")
        local params, stop = nil, nil
        if name then params, stop = parameters(member, at) end
        local q = params and not member:find("%S", stop) and weight(params.q)
        if q and not codings[name:lower()] then codings[name:lower()] = q end
    end
    return codings
end

--- Browsers send the same few values for ever: keeps what was parsed, bounded by starting anew.
local function remembering(parse)
    local known, count = {}, 0
    return function(text)
        local found = known[text]
        if found then return found end
        found = parse(text)
        if count >= 64 then known, count = {}, 0 end
        if #text <= 512 then known[text], count = found, count + 1 end
        return found
    end
end

local ranges_of, codings_of, offer_of = remembering(parse_ranges), remembering(parse_codings), remembering(function(text)
    return M.media_type(SHORT[text] or text) or false
end)

--- How narrowly a range names an offer: 0 not at all, 1 for any type, 2 for any subtype, from 3 on with each parameter.
local function narrowness(range, offer)
    if range.type == "*" then return 1 end
    if range.type ~= offer.type then return 0 end
    if range.subtype == "*" then return 2 end
    if range.subtype ~= offer.subtype then return 0 end
    local found = 3
    for name, value in pairs(range.params) do
        local offered = offer.params[name]
        if not offered or offered:lower() ~= value:lower() then return 0 end
        found = found + 1
    end
    return found
end

--- The weight that the narrowest range gives to an offer.
local function weight_of(ranges, offer)
    local best, q = 0, 0
    for _, range in ipairs(ranges) do
        local found = narrowness(range, offer)
        if found > best then best, q = found, range.q end
    end
    return q
end

--- Which of the offers the Accept value likes best; of equals, the one offered first. No value: the first offer.
---@param accept string?
---@param offers string[] types, or names such as "json", "html", "text"
---@return string? offer as it was given; nil: none is acceptable
function M.accepts(accept, offers)
    local ranges = accept and ranges_of(accept)
    local best, best_q = nil, 0
    for _, name in ipairs(offers) do
        local offer = offer_of(name)
        if not offer then error(("accepts: expected a media type or one of the short names, got %q"):format(name), 2) end
        if not ranges or #ranges == 0 then return name end
        local q = weight_of(ranges, offer)
        if q > best_q then best, best_q = name, q end
    end
    return best
end

--- Which of the offered codings the Accept-Encoding value likes best; of equals, the one offered first.
--- "identity" is acceptable unless it is excluded by name or by "*" (RFC 9110 §12.5.3), and chosen only when
--- nothing that was offered is liked as much.
---@param accept_encoding string?
---@param offers string[] such as { "zstd", "br", "gzip" }
---@return string? coding one of the offers or "identity"; nil: nothing is acceptable
function M.accepts_encoding(accept_encoding, offers)
    if not accept_encoding then return "identity" end
    local codings = codings_of(accept_encoding)
    local best, best_q = nil, 0
    for _, name in ipairs(offers) do
        local q = codings[name] or codings["*"] or (name == "identity" and 1) or 0
        if q > best_q then best, best_q = name, q end
    end
    local identity = codings.identity or codings["*"]
    if best and (not codings.identity or best_q >= codings.identity) then return best end
    if identity == 0 then return best end
    return "identity"
end

return M
