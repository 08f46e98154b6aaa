--- What only shows when everything is together: routes that hide each other, filters around nothing, folders, files and names that are not
--- there, ports that need a privilege. In: the whole app and the config; out: problems, and warnings for what may well be meant.
local compose = require "moongate.compose"
local descriptor = require "moongate.descriptor"
local paths = require "moongate.paths"
local pattern = require "moongate.pattern"
local units = require "moongate.units"

local M = {}

local MIB = 1048576
local SITE_SHARE = 7 / 8 -- of limits.lua_memory: beyond it a script is stopped (src/abi/memory.c)

--- Adds a problem at a place written "file:line", with what the text shows of it.
local function add(generation, where, problem, spot)
    local file, line = where:match("^(.*):(%d+)$")
    if file then return generation:add_at(file, tonumber(line), problem, spot) end
    problem.file = where
    generation.problems:add(problem)
end

local function label(methods, route)
    return ("%s %q"):format(methods == "any" and "any method" or table.concat(methods, ","), route.pattern)
end

--- A place as it is told at another: the line alone in the same file.
local function beside(where, other)
    local file, line = where:match("^(.*):(%d+)$")
    return file and file == other:match("^(.*):%d+$") and "line " .. line or where
end

local function check_duplicates(generation, routes)
    for _, pair in ipairs(compose.duplicates(routes)) do
        local first, second = pair.first, pair.second
        local other = first.pattern == second.pattern and "" or (" as %q"):format(first.pattern)
        local never = (pair.methods == "any" or #pair.methods == #second.methods) and "can never be reached: it is" or "is"
        add(generation, second.where, {
            message = ("%s %s routed at %s%s already"):format(label(pair.methods, second), never, beside(first.where, second.where), other),
            hint = "give one of the two a `when`, or another method or pattern",
        }, second.spot)
    end
end

local function check_folders(generation, routes)
    for _, route in ipairs(routes) do
        local handler = route.handler
        if descriptor.is(handler) and handler.kind == "files" and not paths.is_folder(handler.dir) then
            add(generation, route.where, {
                message = ("no folder %q"):format(handler.dir), hint = "a folder is looked for beside the file that names it",
            }, { what = route.spot and route.spot.what or "app:files", argument = 2 })
        end
    end
end

--- A filter that no route can ever run. The two parts of a filter of a group are one.
local function check_filters(generation, whole)
    local of_spot = {}
    for _, filter in ipairs(whole.filters) do
        local key = filter.spot or filter
        local entry = of_spot[key] or { filter = filter, covers = false }
        of_spot[key] = entry
        for _, route in ipairs(whole.routes) do
            entry.covers = entry.covers or pattern.covers(filter, route) ~= "never"
        end
    end
    for _, filter in ipairs(whole.filters) do
        local entry = of_spot[filter.spot or filter]
        if entry and not entry.covers then
            of_spot[filter.spot or filter] = nil
            add(generation, filter.where, {
                severity = "warning", message = ("this filter is around no route: none has a path of %q"):format(filter.pattern),
                hint = "it runs for requests that are answered with 404, and for nothing else",
            }, filter.spot)
        end
    end
end

--- ---- the machine ----

--- Ports below this one need a privilege (ip(7), ip_unprivileged_port_start); 0 when this process has it (capability 10, CAP_NET_BIND_SERVICE).
local function privileged_below()
    local capabilities = (paths.read("/proc/self/status") or ""):match("CapEff:%s*(%x+)")
    local low = capabilities and tonumber(capabilities:sub(-8), 16)
    if low and math.floor(low / 1024) % 2 == 1 then return 0 end
    return tonumber(paths.read("/proc/sys/net/ipv4/ip_unprivileged_port_start") or "1024") or 1024
end

local function check_ports(config, report)
    local below = M.privileged_below()
    for at, address in ipairs(config.listen) do
        local port = tonumber(address:match("^[^/]*:(%d+)$"))
        if port and port > 0 and port < below then
            report(("listen[%d]"):format(at), ("port %d needs a privilege that this process has not"):format(port),
                ("run it as root or with CAP_NET_BIND_SERVICE, or listen on a port from %d"):format(below), "warning")
        end
    end
end

--- The folder of a log must be there: a log is made, its folder is not.
local function check_logs(log, beside_folder, report)
    for _, key in ipairs { "access", "errors" } do
        local path = log[key] and log[key] ~= "off" and log[key] ~= "-" and paths.resolve(beside_folder, log[key])
        local folder = path and paths.folder_of(path)
        if folder and not paths.is_folder(folder) then
            report("log." .. key, ("no folder %q"):format(folder), "mkdir -p " .. folder)
        elseif folder and paths.is_folder(path) then
            report("log." .. key, ("%q is a folder"):format(path), "name a file in it")
        end
    end
end

--- What the site itself takes of the memory of scripts, once it has loaded, is not there for requests.
local function check_memory(config, report)
    local most = config.settings.lua_bytes
    if most <= 0 or collectgarbage("count") * 1024 < most * SITE_SHARE then return end
    collectgarbage()
    local bytes = collectgarbage("count") * 1024
    if bytes < most * SITE_SHARE then return end
    report("limits.lua_memory", ("%s are not enough: the site itself takes %.0f MiB as soon as it has loaded"):format(units.show_size(most), bytes / MIB),
        ('requests need memory, too: write lua_memory = "%dm", or keep less'):format(math.ceil(2 * bytes / MIB)))
end

--- ---- upstreams ----

local function upstreams_of(whole)
    local list, seen = {}, {}
    for _, route in ipairs(whole.routes) do
        local is_proxied = descriptor.is(route.handler) and route.handler.kind == "proxy"
        for _, upstream in ipairs(is_proxied and descriptor.upstreams(route.handler) or {}) do
            if not seen[upstream] then
                seen[upstream] = true
                list[#list + 1] = upstream
            end
        end
    end
    return list
end

local RESOLVE_MS = 3000 -- for all names together: a check is quick, also where the network is down

--- Names of servers that the system does not know now: it may know them when they are needed.
local function check_names(generation, whole)
    local told, left_ms = {}, RESOLVE_MS
    for _, upstream in ipairs(upstreams_of(whole)) do
        for _, server in ipairs(upstream.servers) do
            local host = server.address:match("^([%w_][%w%-_.]*):%d+$")
            if host and not host:match("^[%d.]+$") and not told[host] then
                told[host] = true
                local since = os.time()
                local why = left_ms > 0 and M.resolve(host, left_ms)
                left_ms = left_ms - math.max(0, os.time() - since) * 1000
                if why then
                    add(generation, upstream.where, {
                        severity = "warning", message = ("upstream %q: the name %q is not known: %s"):format(upstream.name, host, why),
                        hint = "its servers are left out as long as it is not known",
                    })
                end
            end
        end
    end
end

--- Why a name cannot be resolved, asked for at most so many milliseconds; nil when it can, or when nobody can tell. `check` asks the system.
---@type fun(host: string, wait_ms: integer): string?
function M.resolve() return nil end
M.privileged_below = privileged_below

--- Judges the whole. `config`: nil after a problem.
---@param checked? table what is sound of the config
---@param folder string where it lies
---@param report fun(key: string, message: string, hint?: string, severity?: string)
---@param on_disk boolean the files and folders there are part of what is judged; what was judged before is built as it is, so that a folder
--- which is gone by now does not keep a worker from its work
function M.whole(whole, generation, config, checked, folder, report, on_disk)
    check_duplicates(generation, whole.routes)
    if not on_disk then return generation:add_leaks() end
    check_folders(generation, whole.routes)
    local extensions = {}
    for name in pairs(whole.extensions) do extensions[#extensions + 1] = name end
    generation:check_names(extensions)
    if checked and checked.log then check_logs(checked.log, folder, report) end
    if generation.problems:count() > 0 then return end
    check_memory(config, report)
    check_filters(generation, whole)
    check_names(generation, whole)
    check_ports(config, report)
end

return M
