--- What may be said of forwarding: in `mg.upstream { … }` for all requests to it, and in `app:proxy(pattern, upstream, { … })` for those of a
--- route, which wins. In: options as a user wrote them, checked by the rows below. Out: the lines that C reads (src/proxy/terms.h), the
--- same text for the same options, so that a reload finds what it had. What is not said follows the config's limits.
local schema = require "moongate.schema"

local M = {}

local DAY = 86400000
local ATTEMPTS_MAX = 10
local STATUSES_MAX = 8
local CAUSES = { "connect", "reset", "timeout", "malformed" }

local duration = schema.duration(0, DAY)

local timeouts = schema.record {
    { name = "connect", type = duration },
    { name = "send", type = duration },
    { name = "head", type = duration },
    { name = "between", type = duration },
    { name = "total", type = duration },
    { name = "tunnel", type = duration },
}

local cause = schema.custom('"connect", "reset", "timeout", "malformed" or a status from 400 to 599', { "string", "number" }, function(value)
    local status = tonumber(value)
    if status and status % 1 == 0 and status >= 400 and status <= 599 then return ("%d"):format(status) end
    for _, known in ipairs(CAUSES) do
        if value == known then return value end
    end
    local near = type(value) == "string" and schema.nearest(value, CAUSES)
    return nil, nil, near and ("did you mean %q?"):format(near) or nil
end)

local METHODS = { GET = true, HEAD = true, POST = true, PUT = true, DELETE = true, OPTIONS = true, TRACE = true, PATCH = true }

local method = schema.custom('a method such as "POST"', { "string" }, function(value)
    if type(value) == "string" and METHODS[value:upper()] then return value:upper() end
    return nil
end)

local share = schema.custom("a share from 0 to 1, as in 0.2", { "number" }, function(value)
    if type(value) == "number" and value >= 0 and value <= 1 then return value end
    return nil
end)

local retry = schema.either {
    schema.only(false),
    schema.count(1, ATTEMPTS_MAX),
    schema.record {
        { name = "attempts", type = schema.count(1, ATTEMPTS_MAX) },
        { name = "on", type = schema.list(cause, 1, #CAUSES + STATUSES_MAX) },
        { name = "methods", type = schema.list(method, 1) },
        { name = "budget", type = share },
        { name = "body", type = schema.size(0, 16777216) },
    },
}

local path_prefix = schema.custom('a path such as "/api"', { "string" }, function(value)
    if type(value) ~= "string" or value:sub(1, 1) ~= "/" or value:match("[%c ?#*\127-\255]") then return nil end
    return value
end)

local host = schema.custom('"preserve", "upstream" or a host name such as "api.example.org"', { "string" }, function(value)
    if type(value) ~= "string" or not value:match("^[%w.-]+:?%d*$") and not value:match("^%[[%x:.]+%]:?%d*$") then return nil end
    return value
end)

local protocol = schema.custom('a protocol such as "websocket"', { "string" }, function(value)
    if type(value) ~= "string" or not value:match("^[%w!#$%%&'*+.^_`|~/-]+$") then return nil end
    value = value:lower()
    if value == "h2c" or value:match("^http/") then return nil, ("%q is not passed on: it would be read as HTTP no more"):format(value) end
    return value
end)

--- What an upstream and a route may both say.
M.SHARED = {
    { name = "timeout", type = schema.either { duration, timeouts } },
    { name = "retry", type = retry },
    { name = "hedge", type = schema.duration(1, DAY) },
    { name = "host", type = host },
    { name = "forwarded", type = schema.either { schema.only(false), schema.choice { "x", "standard", "both" } } },
    { name = "upgrade", type = schema.either { schema.boolean, schema.list(protocol, 1, 8) } },
    { name = "trace", type = schema.boolean },
    { name = "request_id", type = schema.boolean },
}

--- What only a route may say, besides its `path`.
M.ROUTE = {
    { name = "strip", type = path_prefix },
    { name = "prefix", type = path_prefix },
}

--- The rows of both, for the options of `app:proxy`.
---@param ... table more rows
function M.fields(...)
    local fields = {}
    for _, rows in ipairs { M.SHARED, M.ROUTE, ... } do
        for _, row in ipairs(rows) do fields[#fields + 1] = row end
    end
    return fields
end

--- The short forms written out: `timeout = "5s"`, `retry = false`, `retry = 2`.
local LONG = {
    timeout = function(value) return type(value) == "number" and { total = value } or value end,
    retry = function(value)
        if value == false then value = 1 end
        return type(value) == "number" and { attempts = value } or value
    end,
}

--- What a route does not say is as its upstream says; of timeouts and of trying again each by itself.
local function merged(upstream, route)
    local all = {}
    for _, row in ipairs(M.SHARED) do
        local long = LONG[row.name]
        local below, above = upstream[row.name], route[row.name]
        if long then
            local both = {}
            for _, said in ipairs { long(below) or {}, long(above) or {} } do
                for name, value in pairs(said) do both[name] = value end
            end
            all[row.name] = both
        elseif above ~= nil then
            all[row.name] = above
        else
            all[row.name] = below
        end
    end
    for _, row in ipairs(M.ROUTE) do all[row.name] = route[row.name] end
    return all
end

local FORWARDED = { x = 1, standard = 2, both = 3 }

--- The lines of a route to an upstream.
---@param upstream table checked options of M.SHARED
---@param route table checked options of M.fields()
---@return string
function M.lines(upstream, route)
    local said, lines = merged(upstream, route), {}
    local function add(...) lines[#lines + 1] = table.concat({ ... }, " ") .. "\n" end
    local function number(key, value, factor)
        if value then add(key, ("%.0f"):format(value * (factor or 1))) end
    end
    local function flag(key, value)
        if value ~= nil then add(key, value and "1" or "0") end
    end
    for _, row in ipairs(timeouts.fields) do number(row.name, said.timeout[row.name]) end
    local again = said.retry
    number("attempts", again.attempts)
    if again.on then add("on", unpack(again.on)) end
    if again.methods then add("methods", unpack(again.methods)) end
    number("share", again.budget, 1000)
    number("replay", again.body)
    number("hedge", said.hedge)
    if said.host then add("host", (said.host == "preserve" or said.host == "upstream") and said.host or "name " .. said.host) end
    if said.forwarded ~= nil then number("forwarded", FORWARDED[said.forwarded] or 0) end
    if said.upgrade == false then add("upgrades", "") end
    if type(said.upgrade) == "table" then add("upgrades", unpack(said.upgrade)) end
    flag("traces", said.trace)
    flag("ids", said.request_id)
    if said.strip then add("strip", said.strip) end
    if said.prefix then add("prefix", said.prefix) end
    return table.concat(lines)
end

return M
