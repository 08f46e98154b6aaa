--- Upstreams at run time: what there is to say of them, and what may be changed. In: orders of scripts (`upstream:drain(server)`), and questions of
--- the master on behalf of `moongate upstream`. Out: facts, and changes that hold in all workers, also after a reload and in those born later.
local ffi = require "ffi"
local abi = require "moongate.abi"
local caller = require "moongate.caller"
local json = require "moongate.json"
local options = require "moongate.upstream_options"
local questions = require "moongate.questions"
local schema = require "moongate.schema"

local M = {}

local C = abi.C
local SERVERS_MAX = 64
local ENOENT = -2

local STATES = {
    [tonumber(C.SERVER_REMOVED)] = "removed", [tonumber(C.SERVER_DOWN)] = "down", [tonumber(C.SERVER_DRAINING)] = "draining",
    [tonumber(C.SERVER_UNREACHABLE)] = "unreachable", [tonumber(C.SERVER_UNWELL)] = "unwell", [tonumber(C.SERVER_ASIDE)] = "aside",
    [tonumber(C.SERVER_USED)] = "used",
}

--- ---- changes ----

local function text_of_border() return ffi.string(abi.border.text, abi.border.text_bytes) end

--- Makes a change here. true; or nil and a message.
local function change(line)
    local rc = C.mg_upstream_change(abi.worker, line, #line, 0)
    if rc < 0 then return nil, text_of_border(), rc == ENOENT and "not-found" or "refused" end
    return true
end

--- Makes it here, and has the master make it everywhere.
local function change_everywhere(what, line)
    if not abi.worker then caller.raise(what .. ": upstreams are changed while a worker runs, not while a file is loaded") end
    local ok, message, code = change(line)
    if not ok then return nil, message, code end
    C.mg_say(abi.worker, C.CONTROL_CHANGED, 0, line, #line)
    return true
end

local function server_text(what, value)
    if type(value) ~= "string" or value == "" or value:find("[%s%c]") then
        caller.raise(("%s: expected the address of a server as it is written in the config, got %s"):format(what, schema.shown(value)))
    end
    return value
end

--- The methods of an upstream. Each gives true; or nil, a message and a code when it cannot be done.
M.METHODS = {
    add = function(self, server)
        local checked = schema.demand(schema.record { { name = "server", type = options.server, required = true } }, { server = server }, "upstream:add", 1)
        if not checked.server then return nil, "not a server", "refused" end
        return change_everywhere("upstream:add", ("add %s %s"):format(self.name, options.server_line(checked.server)))
    end,
    weight = function(self, server, weight)
        local text = server_text("upstream:weight", server)
        if type(weight) ~= "number" or weight % 1 ~= 0 or weight < 1 or weight > 1000 then
            caller.raise("upstream:weight: expected a whole number from 1 to 1000, got " .. schema.shown(weight))
        end
        return change_everywhere("upstream:weight", ("weight %s %s %d"):format(self.name, text, weight))
    end,
}
for _, verb in ipairs { "remove", "drain", "down", "up" } do
    local what = "upstream:" .. verb
    M.METHODS[verb] = function(self, server)
        return change_everywhere(what, ("%s %s %s"):format(verb, self.name, server_text(what, server)))
    end
end

--- ---- facts ----

local function round(value) return math.floor(value * 100 + 0.5) / 100 end

local function slice_text(slice) return slice.bytes > 0 and ffi.string(slice.at, slice.bytes) or nil end

local server_facts, upstream_facts = ffi.new("struct proxy_server_facts"), ffi.new("struct proxy_upstream_facts")
local line_text, line_why = ffi.new("struct slice"), ffi.new("struct slice")

local function server_row(f, now)
    local state = STATES[f.state]
    return {
        server = slice_text(f.text), address = slice_text(f.label), state = state, why = slice_text(f.why), weight = f.weight,
        backup = f.backup ~= 0 or nil, max_connections = f.connections_max > 0 and f.connections_max or nil, connections = f.connections, idle = f.idle,
        in_flight = f.in_flight, aside_ms = state == "aside" and math.ceil(f.down_until_ms - now) or nil,
        latency_ms = f.latency_ms > 0 and round(f.latency_ms) or nil, requests = f.requests, failed = f.failed, refused = f.refused,
    }
end

--- Servers whose names have no address now, and those that were taken out.
local function lines_without(handle)
    local rows = {}
    for line = 0, SERVERS_MAX - 1 do
        local rc = C.mg_upstream_line(abi.worker, handle, line, line_text, line_why)
        if rc == ENOENT then break end
        local why = slice_text(line_why)
        if rc == 0 and why ~= "removed" then
            local text = slice_text(line_text)
            rows[#rows + 1] = { server = text, address = text, state = "unknown", why = why }
        end
    end
    return rows
end

--- What there is to say of an upstream that is open.
---@param upstream moongate.Upstream
---@param handle integer
function M.facts(upstream, handle)
    if C.mg_upstream_facts(abi.worker, handle, upstream_facts) < 0 then return nil end
    local servers, now, u = {}, C.mg_now(abi.worker), upstream_facts
    for at = 0, u.servers - 1 do
        if C.mg_server_facts(abi.worker, handle, at, server_facts) == 0 then servers[#servers + 1] = server_row(server_facts, now) end
    end
    for _, row in ipairs(lines_without(handle)) do servers[#servers + 1] = row end
    return {
        name = upstream.name, where = upstream.where, balance = upstream.balance, running = u.running, waiting = u.waiting, queue = u.queue_max,
        max_requests = u.requests_max > 0 and u.requests_max or nil, servers = json.array(servers),
    }
end

--- All of a generation, by name and place.
---@param generation moongate.Living
function M.of(generation)
    local rows = {}
    for handle, upstream in pairs(generation.app.held.opened) do rows[#rows + 1] = { upstream = upstream, handle = handle } end
    table.sort(rows, function(a, b)
        if a.upstream.name ~= b.upstream.name then return a.upstream.name < b.upstream.name end
        return a.handle < b.handle
    end)
    return rows
end

--- The facts of all, for `status`, `top` and `moongate upstream`.
function M.all(generation)
    local list = {}
    for _, row in ipairs(M.of(generation)) do list[#list + 1] = M.facts(row.upstream, row.handle) end
    return json.array(list)
end

--- ---- questions ----

--- The servers as a config would say them now.
local function config_servers(handle)
    local servers, seen = {}, {}
    for at = 0, SERVERS_MAX - 1 do
        if C.mg_server_facts(abi.worker, handle, at, server_facts) == 0 then
            local row = server_row(server_facts, 0)
            if not seen[row.server] then servers[#servers + 1] = row end
            seen[row.server] = true
        end
    end
    for _, row in ipairs(lines_without(handle)) do servers[#servers + 1] = row end
    return servers
end

--- Answers the master's questions. `serving` gives the generation that serves.
---@param serving fun(): moongate.Living
function M.answer_with(serving)
    questions.on("change", function(line)
        local ok, message = change(line)
        if not ok then return nil, message end
        return { ok = true }
    end)
    questions.on("upstreams", function() return M.all(serving()) end)
    questions.on("upstream_config", function()
        local texts = {}
        for _, row in ipairs(M.of(serving())) do
            texts[#texts + 1] = { name = row.upstream.name, text = require("moongate.upstream_text").config(row.upstream, config_servers(row.handle)) }
        end
        return json.array(texts)
    end)
end

return M
