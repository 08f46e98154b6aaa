--- What may be said of an upstream besides how requests are forwarded to it: its servers, which of them is next, who is left out and when,
--- how many requests it takes. In: options as a user wrote them, checked by the rows below. Out: the lines that C reads
--- (src/proxy/spec.h), the same text for the same options, so that a reload finds the servers it had.
local address = require "moongate.address"
local schema = require "moongate.schema"

local M = {}

local SERVERS_MAX, WEIGHT_MAX, CONNECTIONS_MAX, REQUESTS_MAX = 64, 1000, 1000000, 65535
local TEXT_MAX, NAME_MAX, DAY = 255, 63, 86400000

local weight = schema.count(1, WEIGHT_MAX)
local connections = schema.count(1, CONNECTIONS_MAX)
local duration = schema.duration(1, DAY)

local service = schema.custom('the name of a service such as "_http._tcp.example.org"', { "string" }, function(value)
    if type(value) ~= "string" or not value:match("^[%w_][%w_.-]*$") or #value > TEXT_MAX then return nil end
    return value
end)

local SERVER = {
    { name = "address", type = address.server, required = true },
    { name = "weight", type = weight, default = 1 },
    { name = "backup", type = schema.boolean },
    { name = "max_connections", type = connections },
    { name = "srv", type = schema.boolean },
}
local SERVICE = { { name = "address", type = service, required = true }, unpack(SERVER, 2) }

local server_record, service_record = schema.record(SERVER), schema.record(SERVICE)

local function is_service(text, said)
    return said or type(text) == "string" and text:match("^_[%w-]+%._[%w-]+%.") ~= nil
end

--- A server: its address, or a table of the address and options.
M.server = {
    expected = address.server.expected,
    takes = { string = true, table = true },
    check = function(value, path, report)
        if type(value) ~= "table" then
            local srv = is_service(value)
            local text = (srv and service or address.server).check(value, path, report)
            return text and { address = text, weight = 1, srv = srv or nil }
        end
        local options = {}
        for key, entry in pairs(value) do options[key == 1 and "address" or key] = entry end
        local srv = is_service(options.address, options.srv == true)
        local checked = (srv and service_record or server_record).check(options, path, report)
        if checked then checked.srv = srv or nil end
        return checked
    end,
}

local BALANCES = { "p2c", "least-connections", "round-robin", "hash", "random" }

local HASH_EXPECTED = '"client", "path", "target", "header NAME", "cookie NAME" or a function'

--- Named sources are read by C; a function runs in Lua.
local source = schema.custom(HASH_EXPECTED, { "string" }, function(value)
    if type(value) ~= "string" then return nil end
    if value == "client" or value == "path" or value == "target" then return value end
    local kind, name = value:match("^(%l+) ([%w!#$%%&'*+.^_`|~-]+)$")
    if (kind == "header" or kind == "cookie") and #name <= NAME_MAX then return value end
    local near = schema.nearest(value:match("^%S*") or "", { "client", "path", "target", "header", "cookie" })
    return nil, nil, near and ("did you mean %q?"):format((near == "header" or near == "cookie") and near .. " NAME" or near) or nil
end)

local line = schema.custom("a text without control characters", { "string" }, function(value)
    if type(value) ~= "string" or value == "" or #value > TEXT_MAX or value:match("%c") then return nil end
    return value
end)

local check_path = schema.custom('a path such as "/health"', { "string" }, function(value)
    if type(value) ~= "string" or value:sub(1, 1) ~= "/" or #value > TEXT_MAX or value:match("[%c \127-\255]") then return nil end
    return value
end)

--- 200, "2xx" or "200-399".
local statuses = schema.custom('a status such as 200, or several such as "2xx" or "200-399"', { "number", "string" }, function(value)
    local text = tostring(value)
    local class = text:match("^([2-5])xx$")
    local from, to = text:match("^(%d%d%d)%-(%d%d%d)$")
    from, to = tonumber(class and class .. "00" or from or text:match("^%d%d%d$")), tonumber(class and class .. "99" or to)
    if not from or from < 200 or (to or from) > 599 or (to or from) < from then return nil end
    return to and ("%d-%d"):format(from, to) or ("%d"):format(from)
end)

local check = schema.either {
    schema.boolean,
    check_path,
    schema.record {
        { name = "path", type = check_path },
        { name = "tcp", type = schema.boolean },
        { name = "host", type = line },
        { name = "status", type = statuses },
        { name = "body", type = line },
        { name = "interval", type = schema.duration(10, DAY) },
        { name = "timeout", type = duration },
        { name = "rise", type = schema.count(1, 1000) },
        { name = "fall", type = schema.count(1, 1000) },
    },
}

local ejection = schema.either {
    schema.only(false),
    schema.record {
        { name = "errors", type = schema.count(1, 1000000) },
        { name = "time", type = duration },
        { name = "most_time", type = duration },
    },
}

local percent = schema.count(0, 100)

local resolver = schema.custom('the address of a name server such as "10.0.0.53" or "10.0.0.53:53"', { "string" }, function(value)
    if type(value) ~= "string" or #value > NAME_MAX then return nil end
    if value:match("^%d+%.%d+%.%d+%.%d+$") or value:match("^%d+%.%d+%.%d+%.%d+:%d+$") or value:match("^%[[%x:.]+%]:?%d*$") then return value end
    return nil
end)

--- The options, as rows of a schema.
M.FIELDS = {
    { name = "servers", type = schema.list(M.server, 1, SERVERS_MAX), required = true },
    { name = "balance", type = schema.choice(BALANCES) },
    { name = "hash", type = schema.either { schema.func, source } },
    { name = "max_connections", type = connections },
    { name = "queue", type = schema.count(0, REQUESTS_MAX) },
    { name = "queue_time", type = duration },
    { name = "max_requests", type = schema.count(1, REQUESTS_MAX) },
    { name = "slow_start", type = schema.duration(0, DAY) },
    { name = "check", type = check },
    { name = "ejection", type = ejection },
    { name = "panic", type = percent },
    { name = "resolver", type = resolver },
    { name = "ttl_min", type = schema.duration(0, DAY) },
    { name = "ttl_max", type = duration },
}

--- How a server is written in a line.
---@param server { address: string, weight?: integer, backup?: boolean, srv?: boolean, max_connections?: integer }
---@return string
function M.server_line(server)
    local words = { server.address }
    if (server.weight or 1) ~= 1 then words[#words + 1] = ("weight=%d"):format(server.weight) end
    if server.max_connections then words[#words + 1] = ("max=%d"):format(server.max_connections) end
    if server.backup then words[#words + 1] = "backup" end
    if server.srv then words[#words + 1] = "srv" end
    return table.concat(words, " ")
end

local CHECK_LINES = {
    { "path", "check_path" }, { "host", "check_host" }, { "status", "check_status" }, { "body", "check_body" }, { "interval", "check_ms" },
    { "timeout", "check_timeout_ms" }, { "rise", "check_rise" }, { "fall", "check_fall" },
}

local function check_lines(said, add)
    if not said then return end
    if said == true then said = { tcp = true } end
    if type(said) == "string" then said = { path = said } end
    add("check", said.tcp and "tcp" or "http")
    for _, row in ipairs(CHECK_LINES) do
        if said[row[1]] then add(row[2], said[row[1]]) end
    end
end

local function ejection_lines(said, add)
    if said == nil then return end
    if said == false then return add("ejection_errors", 0) end
    if said.errors then add("ejection_errors", said.errors) end
    if said.time then add("ejection_ms", said.time) end
    if said.most_time then add("ejection_max_ms", said.most_time) end
end

local PLAIN = {
    { "max_connections", "connections" }, { "queue", "queue" }, { "queue_time", "queue_ms" }, { "max_requests", "requests" },
    { "slow_start", "slow_start_ms" }, { "panic", "panic" }, { "resolver", "resolver" }, { "ttl_min", "ttl_min_ms" }, { "ttl_max", "ttl_max_ms" },
}

--- The lines of checked options.
---@return string
function M.lines(said)
    local lines = {}
    local function add(key, value)
        lines[#lines + 1] = ("%s %s"):format(key, type(value) == "number" and ("%.0f"):format(value) or value)
    end
    for _, server in ipairs(said.servers) do
        lines[#lines + 1] = M.server_line { address = server.address, weight = server.weight, backup = server.backup, srv = server.srv,
            max_connections = server.max_connections or said.max_connections }
    end
    if said.balance ~= "p2c" then add("balance", said.balance) end
    if said.balance == "hash" then add("hash", type(said.hash) == "function" and "given" or said.hash) end
    for _, row in ipairs(PLAIN) do
        if said[row[1]] then add(row[2], said[row[1]]) end
    end
    check_lines(said.check, add)
    ejection_lines(said.ejection, add)
    return table.concat(lines, "\n") .. "\n"
end

--- What does not go together; nil when all does.
---@return string? message
---@return string? key
---@return string? hint
function M.misfit(said)
    if said.hash and said.balance and said.balance ~= "hash" then
        return ("hash: balance is %q"):format(said.balance), "hash", 'write balance = "hash", or leave it out'
    end
    local c = said.check
    if type(c) == "table" and c.tcp and (c.path or c.host or c.status or c.body) then
        return "check: tcp = true only connects: path, host, status and body are for checks by HTTP", "check", nil
    end
    return nil
end

return M
