--- What workers say of upstreams, put together: one row for each server, over all workers. In: their facts (upstreams.lua); out: rows, and a table for
--- people, for `moongate upstream`, `status` and `top`.
local json = require "moongate.json"

local M = {}

local SUMMED = { "connections", "idle", "in_flight", "requests", "failed", "refused" }
local WORST = { "removed", "down", "draining", "unreachable", "unwell", "unknown", "aside", "used" }
local RANK = {}
for at, state in ipairs(WORST) do RANK[state] = at end

local function add_server(into, row)
    local key = row.address
    local one = into.by_address[key]
    if not one then
        one = { server = row.server, address = row.address, state = row.state, why = row.why, weight = row.weight, backup = row.backup,
            max_connections = row.max_connections, workers = 0, aside = 0, latency_total = 0 }
        into.by_address[key] = one
        into.servers[#into.servers + 1] = one
    end
    for _, name in ipairs(SUMMED) do one[name] = (one[name] or 0) + (row[name] or 0) end
    one.workers = one.workers + 1
    if row.state == "aside" then
        one.aside = one.aside + 1
        one.aside_ms = math.max(one.aside_ms or 0, row.aside_ms or 0)
    end
    if RANK[row.state] < RANK[one.state] then one.state, one.why = row.state, row.why end
    if row.latency_ms then one.latency_ms = math.max(one.latency_ms or 0, row.latency_ms) end
    one.latency_total = nil
end

local function add_upstream(merged, list, row)
    local key = row.name .. "\0" .. (row.where or "")
    local one = merged[key]
    if not one then
        one = { name = row.name, where = row.where, balance = row.balance, running = 0, waiting = 0, queue = row.queue, max_requests = row.max_requests,
            servers = json.array {}, by_address = {} }
        merged[key] = one
        list[#list + 1] = one
    end
    one.running, one.waiting = one.running + row.running, one.waiting + row.waiting
    for _, server in ipairs(row.servers) do add_server(one, server) end
end

--- One row for each upstream, over all workers.
---@param answers { worker: integer, answer: table? }[] `answer`: the list of facts, or a table that has it as `upstreams`
function M.merge(answers)
    local merged, list = {}, {}
    for _, one in ipairs(answers) do
        local rows = type(one.answer) == "table" and (one.answer.upstreams or one.answer) or {}
        for _, row in ipairs(type(rows) == "table" and rows or {}) do
            if type(row) == "table" and row.servers then add_upstream(merged, list, row) end
        end
    end
    for _, one in ipairs(list) do one.by_address = nil end
    return json.array(list)
end

--- A state in words, with its reason.
local function state_text(server)
    local why = server.why and ": " .. server.why or ""
    if server.state == "used" then return server.backup and "spare" or "used" end
    if server.state == "unwell" then return "down by its checks" .. why end
    if server.state == "unreachable" then return "down by its checks" .. why end
    if server.state == "unknown" then return "no address" .. why end
    if server.state == "down" then return "down, as was said" end
    if server.state == "aside" then
        local where = server.workers > 1 and (" in %d of %d workers"):format(server.aside, server.workers) or ""
        return ("aside%s for %.1fs: requests failed"):format(where, (server.aside_ms or 0) / 1000)
    end
    return server.state
end

--- The lines of a table.
---@param list table[] from M.merge()
---@return string[]
function M.lines(list)
    local lines = {}
    for _, upstream in ipairs(list) do
        local queue = upstream.waiting > 0 and ("; %d of %d wait for a connection"):format(upstream.waiting, upstream.queue) or ""
        lines[#lines + 1] = ("%s  %s, %d in flight%s"):format(upstream.name, upstream.balance, upstream.running, queue)
        local width = #"server"
        for _, server in ipairs(upstream.servers) do width = math.max(width, #server.address) end
        local form = "  %-" .. width .. "s %6s %9s %6s %10s %8s %8s  %s"
        lines[#lines + 1] = form:format("server", "weight", "in flight", "conns", "requests", "failed", "latency", "state")
        for _, server in ipairs(upstream.servers) do
            lines[#lines + 1] = form:format(server.address, server.weight or "-", server.in_flight, server.connections, ("%.0f"):format(server.requests),
                ("%.0f"):format(server.failed + server.refused), server.latency_ms and ("%.1fms"):format(server.latency_ms) or "-", state_text(server))
        end
    end
    return lines
end

return M
