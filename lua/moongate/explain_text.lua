--- An explanation (explain.lua) for people.
local units = require "moongate.units"

local M = {}

--- What is true of the server that stands first, where chance has a say.
local FIRST = { p2c = "has the least to do", ["least-connections"] = "has the least to do", random = "has the greatest weight" }

local LIMITS = { { "body", units.show_size }, { "handler_time", units.show_duration }, { "handler_grace", units.show_duration },
    { "request_time", units.show_duration } }

local function put(lines, text, ...) lines[#lines + 1] = text:format(...) .. "\n" end

--- Rows of two or three cells, the first ones as wide as the widest.
local function columns(lines, indent, rows)
    local widest = { 0, 0 }
    for _, row in ipairs(rows) do
        for at = 1, 2 do widest[at] = math.max(widest[at], #(row[at] or "")) end
    end
    for _, row in ipairs(rows) do
        local text = indent .. (row[1] or "") .. (" "):rep(widest[1] - #(row[1] or "") + 2) .. (row[2] or "")
        if row[3] then text = text .. (" "):rep(widest[2] - #(row[2] or "") + 2) .. row[3] end
        lines[#lines + 1] = text:gsub("%s+$", "") .. "\n"
    end
end

local function put_outcome(lines, answer)
    if answer.route and not answer.status then
        put(lines, "  goes to %s, written at %s", answer.route.route, answer.route.where)
        return
    end
    put(lines, "  is answered %d: %s%s", answer.status, answer.why, answer.refused and " (by the gateway itself, before any route)" or "")
    if answer.allow then put(lines, "  allowed here: %s", answer.allow) end
    if answer.near then put(lines, "  did you mean %s (%s)?", answer.near.route, answer.near.where) end
    if answer.route then put(lines, "  its route is %s, written at %s", answer.route.route, answer.route.where) end
    if answer.error_handler then put(lines, "  the answer is made by on_error at %s", answer.error_handler) end
end

local function put_details(lines, answer)
    local rows = {}
    for _, capture in ipairs(answer.captures or {}) do
        rows[#rows + 1] = { "captures", ("%s = %q"):format(capture.name, capture.value) }
    end
    for at, filter in ipairs(answer.filters or {}) do
        rows[#rows + 1] = { "filters", ("%d. %s"):format(at, filter.where),
            filter.runs and "runs" or ("is left out: its pattern is %s%s"):format(filter.host or "", filter.pattern) }
    end
    if answer.handler then rows[#rows + 1] = { "handler", answer.handler.where, answer.handler.text } end
    for _, limit in ipairs(answer.limits and LIMITS or {}) do
        local value = answer.limits[limit[1]]
        if type(value) == "number" then rows[#rows + 1] = { "limits", limit[1] .. " " .. limit[2](value) } end
    end
    local upstream = answer.upstream
    for at, server in ipairs(upstream and upstream.servers or {}) do
        rows[#rows + 1] = { "upstream", ("%q  %d. %s"):format(upstream.name, at, server.address),
            server.aside and "stands aside: it failed a moment ago" or at == 1 and (FIRST[upstream.balance] or "is next") or nil }
    end
    if upstream then rows[#rows + 1] = { "balance", upstream.balance } end
    local last
    for _, row in ipairs(rows) do
        local title = row[1]
        if title == last then row[1] = "" end
        last = title
    end
    columns(lines, "  ", rows)
end

local function put_losers(lines, answer)
    for _, predicate in ipairs(answer.predicates or {}) do
        if predicate.problem then put(lines, "  the `when` at %s failed: %s", predicate.where, predicate.problem) end
    end
    if answer.losers and #answer.losers > 0 then
        put(lines, "not chosen:")
        local rows = {}
        for at, loser in ipairs(answer.losers) do rows[at] = { loser.route, loser.where, loser.why } end
        columns(lines, "  ", rows)
    end
    if (answer.others or 0) > 0 then put(lines, "%d other route%s of another path", answer.others, answer.others == 1 and " is" or "s are") end
end

--- The explanation in lines.
---@param answer table of explain.answer
---@return string
function M.text(answer)
    local lines = {}
    local asked = answer.request
    put(lines, "%s %s%s", answer.method, asked and asked.target or answer.target, asked and asked.host and " on " .. asked.host or "")
    put_outcome(lines, answer)
    put_details(lines, answer)
    put_losers(lines, answer)
    return table.concat(lines)
end

return M
