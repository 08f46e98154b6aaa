--- `moongate generations [--json]`: which versions of the config are alive in a running instance, since when, and what holds those that
--- do not serve any more. In: what its workers answered; out: a table, newest first.
local json = require "moongate.json"
local text = require "moongate.cli_text"

local M = {}

local HOLDERS_SHOWN = 20

local function merge(into, worker, answer)
    for _, one in ipairs(answer) do
        local merged = into[one.number] or { number = one.number, since = one.since, requests = 0, tasks = 0, workers = {}, holders = {} }
        into[one.number] = merged
        merged.since = math.min(merged.since, one.since)
        merged.requests = merged.requests + one.requests
        merged.tasks = merged.tasks + one.tasks
        merged.workers[#merged.workers + 1] = worker
        for _, holder in ipairs(one.holders or {}) do
            merged.holders[#merged.holders + 1] = ("worker %d: %s"):format(worker, holder)
        end
    end
end

--- One row per generation, newest first, over all workers; and the numbers of those that did not answer.
---@param answers { worker: integer, answer: table? }[]
---@return table[] rows
---@return integer[] silent
function M.rows(answers)
    local merged, rows, silent = {}, {}, {}
    for _, one in ipairs(answers) do
        if type(one.answer) == "table" then merge(merged, one.worker, one.answer) else silent[#silent + 1] = one.worker end
    end
    for _, row in pairs(merged) do rows[#rows + 1] = row end
    table.sort(rows, function(a, b) return a.number > b.number end)
    return rows, silent
end

local function age(seconds)
    seconds = math.max(0, math.floor(seconds))
    if seconds < 60 then return ("%ds"):format(seconds) end
    if seconds < 3600 then return ("%dm %ds"):format(seconds / 60, seconds % 60) end
    if seconds < 86400 then return ("%dh %dm"):format(seconds / 3600, seconds / 60 % 60) end
    return ("%dd %dh"):format(seconds / 86400, seconds / 3600 % 24)
end

local function row_text(row, now, serves)
    local lines = { ("generation %d  %s for %s in %s: %s, %s\n"):format(row.number, serves and "serves" or "alive", age(now - row.since),
        text.counted(#row.workers, "worker"), text.counted(row.requests, "request"), text.counted(row.tasks, "task")) }
    for at = 1, serves and 0 or math.min(#row.holders, HOLDERS_SHOWN) do lines[#lines + 1] = "  held by " .. row.holders[at] .. "\n" end
    local more = serves and 0 or #row.holders - HOLDERS_SHOWN
    if more > 0 then lines[#lines + 1] = ("  and by %d more\n"):format(more) end
    return table.concat(lines)
end

--- What is printed.
---@param answers table[]
---@param now number seconds since 1970
---@return string
function M.text(answers, now)
    local rows, silent = M.rows(answers)
    local parts = {}
    for at, row in ipairs(rows) do parts[at] = row_text(row, now, at == 1) end
    for _, worker in ipairs(silent) do parts[#parts + 1] = ("worker %d has not answered\n"):format(worker) end
    return table.concat(parts)
end

--- What the workers are asked.
---@return string
function M.question_text() return "generations" end

--- Prints the answer of the running instance; with `json` as it came.
---@param options { answer: string, json?: boolean }
---@param out? file* standard output
---@return integer exit_code
function M.run(options, out)
    local shown = options.json and options.answer or M.text(assert(json.decode(options.answer)), os.time())
    local stream = out or io.stdout
    stream:write(shown)
    return 0
end

return M
