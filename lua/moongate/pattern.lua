--- Route patterns as Lua needs them: the names of their captures, their shape, and how a filter's pattern lies to a route's.
--- Whether a pattern is well-formed is the router's to say (abi.pattern_check); here patterns are taken as checked.
local M = {}

local function segments(pattern)
    local list = {}
    for segment in pattern:gmatch("/([^/]*)") do list[#list + 1] = segment end
    return list
end

local function is_parameter(segment) return segment:byte() == 58 end -- ":"
local function is_wildcard(segment) return segment:byte() == 42 end -- "*"

--- The names of the captures, in order. A wildcard without a name is called "*".
---@param pattern string
---@return string[]
function M.names(pattern)
    local names = {}
    if not pattern:find("/[:*]") then return names end
    for _, segment in ipairs(segments(pattern)) do
        if is_parameter(segment) then
            names[#names + 1] = segment:sub(2)
        elseif is_wildcard(segment) then
            names[#names + 1] = segment == "*" and "*" or segment:sub(2)
        end
    end
    return names
end

--- Two patterns of the same shape match the same paths: names are left out, escapes written one way (RFC 3986 §6.2.2).
---@param pattern string
---@return string
function M.shape(pattern)
    if not pattern:find("[:*%%]") then return pattern end
    return (pattern:gsub("/([:*])[^/]*", "/%1"):gsub("%%(%x%x)", function(hex)
        local character = string.char(tonumber(hex, 16))
        return character:match("[%w%-._~]") or "%" .. hex:upper()
    end))
end

--- Other systems write captures as `{id}`, `<id>`, `<int:id>` or `{id:[0-9]+}`: the pattern with colons, or nil when nothing looks like one.
---@param text string
---@return string?
function M.with_colons(text)
    local made, count = text:gsub("/[{<]([^/]*)[}>]", function(inner)
        local name = inner:match("^%l+:([%a_][%w_]*)$") or inner:match("^%.*%*?([%a_][%w_]*)")
        return name and (inner:match("^[.*]") and "/*" or "/:") .. name
    end)
    return count > 0 and made ~= text and made or nil
end

--- What a route is called by what it matches: methods, host and pattern.
---@param route { methods?: string[], host?: string, pattern: string }
---@return string
function M.label(route)
    return ("%s %s%s"):format(route.methods and table.concat(route.methods, ",") or "*", route.host or "", route.pattern)
end

--- Does the pattern end in a wildcard?
function M.is_open(pattern)
    return pattern:match("/%*[^/]*$") ~= nil
end

--- Which of a route's paths a filter's pattern matches: "always", "sometimes" or "never".
---@param filter string
---@param route string
function M.relation(filter, route)
    local f, r = segments(M.shape(filter)), segments(M.shape(route))
    local answer = "always"
    for at = 1, math.max(#f, #r) do
        local want, have = f[at], r[at]
        if not want or not have then return "never" end
        if is_wildcard(want) then return answer end
        if is_wildcard(have) then return "sometimes" end
        if is_parameter(want) then
            if have == "" then return "never" end
        elseif is_parameter(have) then
            if want == "" then return "never" end
            answer = "sometimes"
        elseif want ~= have then
            return "never"
        end
    end
    return answer
end

--- Does this host name or "*.suffix" lie wholly within another? `nil` is any host.
function M.host_within(inner, outer)
    if outer == nil or inner == outer then return true end
    if inner == nil or outer:sub(1, 2) ~= "*." then return false end
    return inner:sub(-(#outer - 1)) == outer:sub(2)
end

--- The same question for hosts: which of the route's requests a filter of that host sees.
function M.host_relation(filter, route)
    if M.host_within(route, filter) then return "always" end
    return M.host_within(filter, route) and "sometimes" or "never"
end

--- Host and path together.
---@param filter { host?: string, pattern: string }
---@param route { host?: string, pattern: string }
function M.covers(filter, route)
    local host = M.host_relation(filter.host, route.host)
    local path = M.relation(filter.pattern, route.pattern)
    if host == "never" or path == "never" then return "never" end
    return host == "always" and path == "always" and "always" or "sometimes"
end

--- Checks a host as apps and configs write it: "example.org", "*.example.org", "[::1]". The router compares without port and case.
---@return string? host in lower case, without a final dot
---@return string? message
function M.host(text)
    if type(text) ~= "string" or text == "" then return nil, "a host is a name such as \"example.org\" or \"*.example.org\"" end
    local host = text:lower():gsub("%.$", "")
    if host:match("^%[[%x:.]+%]$") then return host end
    local name = host:gsub("^%*%.", "")
    if name:match(":%d*$") then return nil, ("host %q: hosts are compared without a port"):format(text) end
    if name:find("*", 1, true) then
        return nil, ('host %q: "*" stands only before the first dot, as in "*.example.org"'):format(text)
    end
    if name:match("[^%w%-_.]") or name:match("^%.") or name:match("%.%.") or name == "" or #name > 253 then
        return nil, ("host %q: not a host name"):format(text)
    end
    return host
end

return M
