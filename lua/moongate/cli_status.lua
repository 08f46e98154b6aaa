--- The second half of `moongate status`: what each worker says of its Lua. In: their answers (vitals.lua); out: a table below the master's.
local json = require "moongate.json"
local upstream_table = require "moongate.upstream_table"

local M = {}

local MIB = 2 ^ 20

local function row_of(one)
    local a = one.answer
    if type(a) ~= "table" or a.error then return ("%-7d has not answered"):format(one.worker) end
    return ("%-7d %8.1f %8.1f %8d %8d %8d %8d %8d %8.1f"):format(one.worker, a.lua_bytes / MIB, a.resident_bytes / MIB, a.tasks, a.waits, a.running_count,
        a.jit.traces, a.jit.aborts, a.jit.code_bytes / 1024)
end

local function seconds(ms)
    return ms < 1000 and ("%d ms"):format(ms) or ("%.1f s"):format(ms / 1000)
end

--- Large numbers with a letter.
local function short(number)
    for _, unit in ipairs { { 1e9, "G" }, { 1e6, "M" }, { 1e4, "k" } } do
        if number >= unit[1] then return ("%.1f%s"):format(number / (unit[2] == "k" and 1e3 or unit[1]), unit[2]) end
    end
    return ("%d"):format(number)
end

--- The rows that the workers' answers have under a key, by the name in each, in the order of the first worker.
local function gather(answers, key, name, add)
    local list, by_name = {}, {}
    for _, one in ipairs(answers) do
        for _, row in ipairs(type(one.answer) == "table" and one.answer[key] or {}) do
            local known = by_name[row[name]]
            if known then
                add(known, row)
            else
                by_name[row[name]] = row
                list[#list + 1] = row
            end
        end
    end
    return list
end

--- Who waits, in all workers, and what ends that.
local function put_waits(lines, answers)
    local rows = gather(answers, "waiting", "kind", function(all, row)
        all.count, all.longest_ms = all.count + row.count, math.max(all.longest_ms, row.longest_ms)
    end)
    lines[#lines + 1] = ("\n%-20s %8s %10s  %s"):format("waits of tasks", "now", "longest", "ended at last by")
    for _, row in ipairs(rows) do
        local ends = row.most_ms and ("%s (%s)"):format(row.ends, seconds(row.most_ms)) or row.ends
        lines[#lines + 1] = ("%-20s %8d %10s  %s"):format(row.kind, row.count, row.count > 0 and seconds(row.longest_ms) or "-", ends)
    end
end

--- What grows with the work: that of the worker where it is fullest.
local function put_queues(lines, answers)
    local rows = gather(answers, "queues", "name", function(fullest, row)
        if row.now / row.most > fullest.now / fullest.most then fullest.now, fullest.most = row.now, row.most end
    end)
    lines[#lines + 1] = ("\n%-20s %8s %10s  %s"):format("in one worker", "now", "at most", "beyond it")
    for _, row in ipairs(rows) do
        lines[#lines + 1] = ("%-20s %8s %10s  %s"):format(row.name, short(row.now), short(row.most), row.beyond)
    end
end

--- What is printed.
---@param answers { worker: integer, answer: table? }[]
---@return string
function M.text(answers)
    local lines = { "",
        ("%-7s %8s %8s %8s %8s %8s %8s %8s %8s"):format("worker", "lua MiB", "rss MiB", "tasks", "waits", "running", "traces", "aborts", "code KiB") }
    for _, one in ipairs(answers) do lines[#lines + 1] = row_of(one) end
    put_waits(lines, answers)
    put_queues(lines, answers)
    local upstreams = upstream_table.merge(answers)
    if #upstreams > 0 then lines[#lines + 1] = "" end
    for _, line in ipairs(upstream_table.lines(upstreams)) do lines[#lines + 1] = line end
    return table.concat(lines, "\n") .. "\n"
end

---@param options { answer: string }
---@param out? file* standard output
---@return integer exit_code
function M.run(options, out)
    local stream = out or io.stdout
    stream:write(M.text(assert(json.decode(options.answer))))
    return 0
end

return M
