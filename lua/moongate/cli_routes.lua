--- `moongate routes [FILE] [--json]`: every route with its handler and the filters around it. Exit code 0, or 1 with problems.
local caller = require "moongate.caller"
local descriptor = require "moongate.descriptor"
local evaluate = require "moongate.evaluate"
local json = require "moongate.json"
local pattern = require "moongate.pattern"

local M = {}

local COLUMNS = { "method", "host", "pattern", "handler", "filters" }

--- A filter that covers only some paths of a route is marked: whether it runs depends on the request.
local function filters_of(route, filters)
    local names = {}
    for _, filter in ipairs(filters) do
        local relation = pattern.covers(filter, route)
        if relation ~= "never" then
            names[#names + 1] = filter.where .. (relation == "sometimes" and " (" .. (filter.host or "") .. filter.pattern .. ")" or "")
        end
    end
    return json.array(names)
end

local function handler_of(route)
    if descriptor.is(route.handler) then return ("%s  (%s)"):format(descriptor.describe(route.handler), route.where) end
    return caller.definition(route.handler)
end

--- One row per route, in the order of the file.
---@return table[]
function M.rows(apps)
    local rows = {}
    for at, route in ipairs(apps.routes) do
        rows[at] = {
            method = route.methods and table.concat(route.methods, ",") or "*", host = route.host or "*", pattern = route.pattern,
            handler = handler_of(route), filters = filters_of(route, apps.filters), name = route.options.name,
            where = route.where, when = route.when ~= nil,
        }
    end
    return rows
end

local function cells(row)
    return {
        row.method, row.host, row.pattern .. (row.when and "  when …" or ""), row.handler,
        #row.filters > 0 and table.concat(row.filters, ", ") or "-",
    }
end

--- Characters, not bytes: continuation bytes of UTF-8 take no column.
local function width(text) return #text:gsub("[\128-\191]", "") end

--- Columns aligned, no blanks at the ends of lines.
---@return string
function M.table_text(rows)
    local lines, widths = { COLUMNS }, {}
    for _, row in ipairs(rows) do lines[#lines + 1] = cells(row) end
    for _, line in ipairs(lines) do
        for at, cell in ipairs(line) do widths[at] = math.max(widths[at] or 0, width(cell)) end
    end
    for at, line in ipairs(lines) do
        local padded = {}
        for column, cell in ipairs(line) do padded[column] = cell .. (" "):rep(widths[column] - width(cell)) end
        lines[at] = table.concat(padded, "  "):gsub("%s+$", "") .. "\n"
    end
    return table.concat(lines)
end

--- Prints the table, or with `json` the rows.
---@param options { file?: string, json?: boolean }
---@param out? file* standard output
---@param err? file* standard error
---@return integer exit_code
function M.run(options, out, err)
    local evaluation = evaluate.command(options)
    if not evaluation.config then
        (err or io.stderr):write(evaluation.problems:text())
        return 1
    end
    local rows = M.rows(evaluation.apps)
    local shown = options.json and json.encode(json.array(rows)) .. "\n" or M.table_text(rows)
    local stream = out or io.stdout
    stream:write(shown)
    return 0
end

return M
