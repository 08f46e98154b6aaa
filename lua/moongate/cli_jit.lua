--- `moongate jit [--json]`: which routes of a running instance run compiled, which do not, at which line and why. In: what its workers
--- answered (traces.lua); out: the routes, those with a reason first, and the places that LuaJIT gave up most.
local json = require "moongate.json"
local text = require "moongate.cli_text"
local units = require "moongate.units"

local M = {}

local PLACES_SHOWN = 10
local ORDER = { apart = 1, interpreted = 2, compiled = 3, ["in C"] = 4, ["not hot"] = 5 }
local MEANING = {
    apart = "runs behind a coroutine", interpreted = "is interpreted so far", compiled = "runs compiled", ["in C"] = "needs no Lua",
    ["not hot"] = "has not been asked for often enough",
}

--- One row per route over all workers: the state that says most, traces and aborts together.
---@param answers { worker: integer, answer: table? }[]
---@return table[] rows
---@return table totals
---@return integer[] silent
function M.merge(answers)
    local by_route, rows, silent = {}, {}, {}
    local totals = { workers = 0, traces = 0, aborts = 0, flushes = 0, code_bytes = 0, code_most = 0, off = 0 }
    for _, one in ipairs(answers) do
        local answer = one.answer
        if type(answer) ~= "table" or answer.error then
            silent[#silent + 1] = one.worker
        else
            totals.workers = totals.workers + 1
            for _, key in ipairs { "traces", "aborts", "flushes", "code_bytes", "code_most" } do totals[key] = totals[key] + answer[key] end
            totals.off = totals.off + (answer.on and 0 or 1)
            for _, row in ipairs(answer.routes) do
                local key = row.route .. "\0" .. row.where
                local merged = by_route[key]
                if not merged then
                    merged = { route = row.route, where = row.where, state = row.state, traces = 0, aborts = 0, at = row.at, why = row.why }
                    by_route[key], rows[#rows + 1] = merged, merged
                elseif ORDER[row.state] < ORDER[merged.state] then
                    merged.state, merged.at, merged.why = row.state, row.at, row.why
                end
                merged.traces, merged.aborts = merged.traces + row.traces, merged.aborts + row.aborts
            end
        end
    end
    table.sort(rows, function(a, b)
        if a.state ~= b.state then return ORDER[a.state] < ORDER[b.state] end
        return a.route .. a.where < b.route .. b.where
    end)
    return rows, totals, silent
end

--- Places in scripts that were given up, over all workers, the commonest first.
local function places_of(answers)
    local by_place, list = {}, {}
    for _, one in ipairs(answers) do
        for _, place in ipairs(type(one.answer) == "table" and one.answer.places or {}) do
            local key = place.where .. "\0" .. place.why
            if not place.is_own and not by_place[key] then
                by_place[key] = { where = place.where, why = place.why, count = 0 }
                list[#list + 1] = by_place[key]
            end
            if not place.is_own then by_place[key].count = by_place[key].count + place.count end
        end
    end
    table.sort(list, function(a, b) return a.count > b.count or a.count == b.count and a.where < b.where end)
    return list
end

local function row_text(row)
    local line = ("%-11s  %s (%s)  %s"):format(row.state, row.route, row.where, MEANING[row.state])
    if row.at then return ("%s: %s at %s"):format(line, row.why, row.at) end
    return row.state == "compiled" and ("%s, %s"):format(line, text.counted(row.traces, "trace")) or line
end

--- What is printed.
---@param answers table[]
---@return string
function M.text(answers)
    local rows, totals, silent = M.merge(answers)
    local lines = { ("%s: %s compiled, %d given up, %s, %s of %s code memory"):format(text.counted(totals.workers, "worker"),
        text.counted(totals.traces, "trace"), totals.aborts, totals.flushes == 1 and "1 flush" or totals.flushes .. " flushes",
        units.show_number(math.ceil(totals.code_bytes / 1024)) .. " KiB", units.show_number(math.floor(totals.code_most / 1024)) .. " KiB") }
    if totals.off > 0 then lines[#lines + 1] = ("the compiler is off in %s"):format(text.counted(totals.off, "worker")) end
    lines[#lines + 1] = #rows > 0 and "" or nil
    for _, row in ipairs(rows) do lines[#lines + 1] = row_text(row) end
    local places = places_of(answers)
    if #places > 0 then lines[#lines + 1] = "\ngiven up most often:" end
    for at = 1, math.min(#places, PLACES_SHOWN) do
        lines[#lines + 1] = ("%6d  %s  %s"):format(places[at].count, places[at].where, places[at].why)
    end
    for _, worker in ipairs(silent) do lines[#lines + 1] = ("worker %d has not answered"):format(worker) end
    return table.concat(lines, "\n") .. "\n"
end

--- What the workers are asked.
---@return string
function M.question_text() return "jit" end

--- Prints the answer of the running instance; with `json` as it came.
---@param options { answer: string, json?: boolean }
---@param out? file* standard output
---@return integer exit_code
function M.run(options, out)
    local stream = out or io.stdout
    stream:write(options.json and options.answer or M.text(assert(json.decode(options.answer))))
    return 0
end

return M
