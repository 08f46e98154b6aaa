--- The plan: what the processes must know of a generation, as lines "key value" (src/abi/vm.h). Made from an evaluation without
--- problems; the master reads it and never runs a script.
local abi = require "moongate.abi"
local fingerprint = require "moongate.fingerprint"
local paths = require "moongate.paths"
local pattern = require "moongate.pattern"
local snapshot = require "moongate.snapshot"

local M = {}

--- How many processors this process may use: its affinity, and no more than its cgroup's quota.
---@param affinity? integer
---@param read? fun(path: string): string?
---@return integer
function M.processors(affinity, read)
    local count = affinity or abi.C.mg_processors()
    local quota, period = ((read or paths.read)("/sys/fs/cgroup/cpu.max") or ""):match("^(%d+) (%d+)")
    if quota then count = math.min(count, math.ceil(tonumber(quota) / tonumber(period))) end
    return math.max(1, count)
end

--- A value keeps to its line.
local function line(key, value)
    return ("%s %s\n"):format(key, (tostring(value):gsub("%c", "?")))
end

--- What a route is called in messages: its name, or method, host and pattern.
---@return string
function M.route_text(route)
    return route.options and route.options.name or pattern.label(route)
end

local function has_once(apps)
    for _, hook in ipairs(apps.start) do
        if hook.once then return true end
    end
    return false
end

--- The plan of an evaluation.
---@param evaluation moongate.Evaluation without problems
---@return string
function M.text(evaluation)
    local config, apps = evaluation.config, evaluation.apps
    local workers = config.workers == "auto" and M.processors() or config.workers
    local lines = { line("name", config.name) }
    local function add(key, value) lines[#lines + 1] = line(key, value) end
    for _, address in ipairs(config.listen) do add("listen", address) end
    add("workers", workers)
    add("engine", config.engine)
    add("drain_ms", ("%d"):format(config.drain_ms))
    if has_once(apps) then add("once", 1) end
    add("access_log", config.log.access)
    add("access_format", config.log.format)
    add("error_log", config.log.errors)
    add("reload", config.reload)
    local names = {}
    for name in pairs(config.shared) do names[#names + 1] = name end
    table.sort(names)
    for _, name in ipairs(names) do add("shared", ("%d %s"):format(config.shared[name], name)) end
    local print_of = fingerprint.of(apps, evaluation.read)
    for at, route in ipairs(apps.routes) do
        add("route", ("%d %s %s"):format(abi.C.MG_ROUTE_FIRST + at - 1, print_of(route), M.route_text(route)))
    end
    for _, path in ipairs(evaluation.files) do add("file", path) end
    return table.concat(lines) .. "end\n"
end

--- What is told when there are problems: the files whose change may mend them, and nothing else.
---@param evaluation moongate.Evaluation
---@return string
function M.files_text(evaluation)
    local lines = {}
    for _, path in ipairs(evaluation.read.paths) do lines[#lines + 1] = line("file", path) end
    return table.concat(lines)
end

--- What the disposable child runs: the plan to one descriptor and the files to another, or every problem to standard error.
---@param options table as the command line said them
---@param out integer
---@param sources integer -1: nobody wants them
---@return integer exit_code
function M.main(options, out, sources)
    local evaluation = require("moongate.evaluate").command(options)
    if not evaluation.config then
        snapshot.write(out, M.files_text(evaluation))
        io.stderr:write(evaluation.problems:text())
        return 1
    end
    io.stderr:write(evaluation.problems:text()) -- warnings
    local ok, message = true, nil
    if sources >= 0 then ok, message = snapshot.write(sources, evaluation.read:encode()) end
    if ok then ok, message = snapshot.write(out, M.text(evaluation)) end
    if not ok then
        io.stderr:write("moongate: writing the plan: ", message, "\n")
        return 1
    end
    return 0
end

return M
