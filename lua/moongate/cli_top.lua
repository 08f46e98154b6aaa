--- `moongate top`: a running instance, live. In: two samples of what the master and the workers say, and how far apart they were
--- (src/proc/top.c); out: one screen that fits the terminal, plain lines, or JSON.
local json = require "moongate.json"
local upstream_table = require "moongate.upstream_table"

local M = {}

local MIB = 2 ^ 20
local CLASSES = { "1xx", "2xx", "3xx", "4xx", "5xx" }
local RUNNING_MAX = 100

local function rate(now, before, seconds)
    if not before or seconds <= 0 then return nil end
    return math.max(0, now - before) / seconds
end

local function by_worker(answers)
    local map = {}
    for _, one in ipairs(answers or {}) do
        if type(one.answer) == "table" and not one.answer.error then map[one.worker] = { answer = one.answer, pid = one.pid } end
    end
    return map
end

local function worker_row(worker, now, before, own, seconds)
    local a, b = now[worker.number], before[worker.number]
    local same = a and b and a.pid == b.pid -- one that was replaced begins anew
    return {
        worker = worker.number, pid = worker.pid, state = worker.state, connections = worker.connections,
        requests = rate(worker.requests, own and own.requests, seconds), cpu = same and rate(a.answer.cpu_ms, b.answer.cpu_ms, seconds * 10) or nil,
        lua_bytes = a and a.answer.lua_bytes, resident_bytes = a and a.answer.resident_bytes, tasks = a and a.answer.tasks,
        running = a and a.answer.running_count, traces = a and a.answer.jit.traces, aborts = a and a.answer.jit.aborts,
    }
end

local function running_rows(answers)
    local rows = {}
    for _, one in ipairs(answers) do
        for _, row in ipairs(type(one.answer) == "table" and one.answer.running or {}) do
            rows[#rows + 1] = { worker = one.worker, method = row.method, path = row.path, ms = row.ms, route = row.route }
        end
    end
    table.sort(rows, function(a, b) return a.ms > b.ms or a.ms == b.ms and a.path < b.path end)
    for at = #rows, RUNNING_MAX + 1, -1 do rows[at] = nil end
    return json.array(rows)
end

--- What is shown, as values.
---@param sample { status: table, workers: table[], before?: table, workers_before?: table[], ms?: number }
---@return table
function M.model(sample)
    local status, before, seconds = sample.status, sample.before, (sample.ms or 0) / 1000
    local total, old = status.total, before and before.total
    local classes = {}
    for _, class in ipairs(CLASSES) do classes[class] = rate(total.answered[class], old and old.answered[class], seconds) end
    local owns, now, earlier = {}, by_worker(sample.workers), by_worker(sample.workers_before)
    for _, worker in ipairs(before and before.workers or {}) do owns[worker.number] = worker end
    local workers = json.array {}
    for at, worker in ipairs(status.workers) do workers[at] = worker_row(worker, now, earlier, owns[worker.number], seconds) end
    return {
        name = status.name, state = status.state, generation = status.generation, uptime_ms = status.uptime_ms, connections = total.connections,
        requests = rate(total.requests, old and old.requests, seconds), classes = classes, bytes_in = rate(total.bytes_in, old and old.bytes_in, seconds),
        bytes_out = rate(total.bytes_out, old and old.bytes_out, seconds), requests_total = total.requests, workers = workers,
        running = running_rows(sample.workers), upstreams = upstream_table.merge(sample.workers),
    }
end

--- ---- as text ----

local function count_text(value)
    if not value then return "-" end
    if value < 10 and value % 1 ~= 0 then return ("%.1f"):format(value) end
    if value < 1e5 then return ("%.0f"):format(value) end
    return value < 1e8 and ("%.0fk"):format(value / 1e3) or ("%.0fM"):format(value / 1e6)
end

local function mib_text(bytes) return bytes and ("%.1f"):format(bytes / MIB) or "-" end

local function age_text(ms)
    local seconds = math.floor(ms / 1000)
    if ms < 1000 then return ("%dms"):format(ms) end
    if seconds < 60 then return ("%.1fs"):format(ms / 1000) end
    if seconds < 3600 then return ("%dm %ds"):format(seconds / 60, seconds % 60) end
    if seconds < 86400 then return ("%dh %dm"):format(seconds / 3600, seconds / 60 % 60) end
    return ("%dd %dh"):format(seconds / 86400, seconds / 3600 % 24)
end

--- What comes from a client never moves the cursor.
local function clean(text) return (tostring(text):gsub("[%c\127-\255]", "?")) end

local function head_lines(model)
    local classes = {}
    for at, class in ipairs(CLASSES) do classes[at] = ("%s %s"):format(class, count_text(model.classes[class])) end
    return {
        ("%s: %s, generation %d, up %s"):format(clean(model.name), clean(model.state), model.generation, age_text(model.uptime_ms)),
        ("requests/s  %s  (%s)"):format(count_text(model.requests), table.concat(classes, "  ")),
        ("connections %d   in %s MiB/s   out %s MiB/s   requests in all %s"):format(model.connections, mib_text(model.bytes_in), mib_text(model.bytes_out),
            count_text(model.requests_total)),
    }
end

local function worker_line(row)
    return ("%-6d %7d %-8s %5s %7s %8s %8s %8s %6s %7s"):format(row.worker, row.pid, row.state, row.cpu and ("%.0f%%"):format(row.cpu) or "-",
        count_text(row.connections), count_text(row.requests), mib_text(row.lua_bytes), mib_text(row.resident_bytes), count_text(row.tasks),
        count_text(row.running))
end

local function running_line(row)
    return ("%8s %-6d %s %s%s"):format(age_text(row.ms), row.worker, clean(row.method), clean(row.path), row.route and "  (" .. clean(row.route) .. ")" or "")
end

--- The lines of a screen: no wider than `columns`, no more than `rows`.
---@return string[]
function M.lines(model, columns, rows)
    local lines = head_lines(model)
    local function add(line) lines[#lines + 1] = line end
    add("")
    add(("%-6s %7s %-8s %5s %7s %8s %8s %8s %6s %7s"):format("worker", "pid", "state", "cpu", "conns", "req/s", "lua MiB", "rss MiB", "tasks", "running"))
    local room = math.max(1, rows - #lines - 4)
    for at, row in ipairs(model.workers) do
        if at > room and #model.workers > room then
            add(("… and %d more workers"):format(#model.workers - at + 1))
            break
        end
        add(worker_line(row))
    end
    if #(model.upstreams or {}) > 0 then
        add("")
        for _, line in ipairs(upstream_table.lines(model.upstreams)) do add(clean(line)) end
    end
    if #model.running > 0 then
        add("")
        add(("%8s %-6s %s"):format("running", "worker", "request (route)"))
        for _, row in ipairs(model.running) do add(running_line(row)) end
    end
    for at = #lines, rows + 1, -1 do lines[at] = nil end
    for at, line in ipairs(lines) do
        if #line > columns then lines[at] = line:sub(1, columns) end
    end
    return lines
end

local CLEAR_LINE, CLEAR_REST, HOME = "\27[K", "\27[J", "\27[H"

--- A whole screen, drawn over the one before without flicker; the last line has the keys.
local function screen(model, columns, rows)
    local lines = M.lines(model, columns, rows - 2)
    lines[1] = "\27[1m" .. lines[1] .. "\27[0m"
    return HOME .. table.concat(lines, CLEAR_LINE .. "\n") .. CLEAR_LINE .. "\n\27[2mq ends\27[0m" .. CLEAR_LINE .. "\n" .. CLEAR_REST
end

---@param options { answer: string, json?: boolean }
---@param out? file* standard output
---@return integer exit_code
function M.run(options, out)
    local sample = assert(json.decode(options.answer))
    local model = M.model(sample)
    local stream = out or io.stdout
    if options.json then
        stream:write(json.encode(model), "\n")
    elseif sample.screen then
        stream:write(screen(model, sample.columns, sample.rows))
    else
        stream:write(table.concat(M.lines(model, sample.columns, sample.rows), "\n"), "\n")
    end
    stream:flush()
    return 0
end

return M
