--- A config's table → one validated value. In: what the file returned, and what the command line said instead. Out: settings in
--- the units of the program, with every problem at once. The limits are not known here: they are the rows of the settings table.
local abi = require "moongate.abi"
local address = require "moongate.address"
local app = require "moongate.app"
local paths = require "moongate.paths"
local pattern = require "moongate.pattern"
local schema = require "moongate.schema"

local M = {}

local WORKERS_MAX = 256
local LISTEN_MAX = 16
local TRUSTED_MAX = 256
local DRAIN_MAX = 86400000

local NAME = "^[%w_][%w_.-]*$"
local NAME_MAX = 64
local SHARED_NAME_MAX = 63
local SHARED_LEAST, SHARED_MOST = 65536, 16 * 1024 ^ 3

local instance_name = schema.custom("a name of letters, digits, \"-\", \"_\" and \".\"", { "string" }, function(value)
    if type(value) == "string" and #value <= NAME_MAX and value:match(NAME) then return value end
    return nil
end)

local app_or_file = schema.custom("an app, or the name of a file that returns one", { "table", "string" }, function(value)
    if app.is(value) then return value end
    if type(value) == "string" and value ~= "" then return value end
    return nil
end)

local host_name = schema.custom("a host name", { "string" }, function(value) return pattern.host(value) end)

local shared_name = schema.custom("a name of up to 63 letters, digits, \"-\", \"_\", \".\" and \":\"", { "string" }, function(value)
    if type(value) == "string" and #value <= SHARED_NAME_MAX and value:match("^[%w_.:-]+$") then return value end
    return nil
end)

local header_value = schema.custom("a header value", { "string" }, function(value)
    if type(value) ~= "string" or value == "" or value:match("[%c\127-\255]") then return nil end
    return value
end)

local path = schema.custom("a path", { "string" }, function(value)
    if type(value) ~= "string" or value == "" or value:match("[%z\n]") then return nil end
    return value
end)

local network = schema.custom('an address, a network such as "10.0.0.0/8" or "unix"', { "string" }, function(value)
    if type(value) == "string" and not value:find("[%c ]") and value ~= "" and abi.C.mg_trust_check(value, #value) == 0 then return value end
    return nil
end)

--- By enum mg_setting_kind.
local KINDS = {
    [abi.C.MG_SETTING_BYTES] = schema.size,
    [abi.C.MG_SETTING_MS] = schema.duration,
    [abi.C.MG_SETTING_COUNT] = schema.count,
}

--- One schema row per limit. Its default is already in the program's unit, so it is filled in afterwards.
local function limit_fields()
    local fields, rows = {}, abi.settings_rows()
    for at, row in ipairs(rows) do
        local name = row.key:match("^limits%.([%w_]+)$")
        fields[at] = { name = name, type = KINDS[row.kind](row.least, row.most), field = row.field, initial = row.initial, prose = row.prose }
    end
    return fields
end

local workers = schema.either { schema.only("auto"), schema.count(1, WORKERS_MAX) }
workers.expected = ('"auto" or a whole number from 1 to %d'):format(WORKERS_MAX)
workers.check = schema.custom(workers.expected, { "string", "number" }, function(value)
    if value == "auto" then return value end
    if type(value) ~= "number" or value % 1 ~= 0 or value < 1 or value > WORKERS_MAX then return nil end
    return value
end).check

local log = schema.record {
    { name = "access", type = path, default = "off" },
    { name = "format", type = schema.choice { "combined", "json" }, default = "combined" },
    { name = "errors", type = path, default = "-" },
    { name = "level", type = schema.choice { "debug", "info", "warn", "error" }, default = "info" },
}

--- Every key of a config.
local function fields(limits)
    return {
        { name = "name", type = instance_name },
        { name = "listen", type = schema.list(address.listen, 1, LISTEN_MAX), default = "127.0.0.1:8080" },
        { name = "workers", type = workers, default = "auto" },
        { name = "engine", type = schema.choice { "auto", "io_uring", "epoll" }, default = "auto" },
        { name = "app", type = app_or_file },
        { name = "hosts", type = schema.map(host_name, app_or_file) },
        { name = "limits", type = schema.record(limits), default = {} },
        { name = "drain", type = schema.duration(0, DRAIN_MAX), default = "30s" },
        { name = "trusted_proxies", type = schema.list(network, 0, TRUSTED_MAX), default = {} },
        { name = "server", type = schema.either { header_value, schema.only(false) }, default = "moongate" },
        { name = "debug", type = schema.boolean, default = false },
        { name = "log", type = log, default = {} },
        { name = "shared", type = schema.map(shared_name, schema.size(SHARED_LEAST, SHARED_MOST)), default = {} },
        { name = "reload", type = schema.choice { "manual", "watch" }, default = "manual" },
    }
end

--- The keys of a config, for the documentation and for the spec of the default config.
---@return string[] such as "listen" and "limits.head"
function M.keys()
    local keys = {}
    for _, field in ipairs(fields(limit_fields())) do
        for _, inner in ipairs(field.type.fields or { { name = false } }) do
            keys[#keys + 1] = field.name .. (inner.name and "." .. inner.name or "")
        end
    end
    return keys
end

--- Command line → the keys it stands for. `--workers` comes as text.
local function overlay(overrides)
    local changed = {}
    if overrides.listen and #overrides.listen > 0 then changed.listen = overrides.listen end
    if overrides.workers then changed.workers = tonumber(overrides.workers) or overrides.workers end
    changed.name, changed.engine = overrides.name, overrides.engine
    if overrides.debug then changed.debug = true end
    if overrides.watch then changed.reload = "watch" end
    return changed
end

local function name_from(file)
    local name = file:match("([^/]*)$"):gsub("%.lua$", ""):gsub("[^%w_.-]", "-"):gsub("^[.-]+", "")
    return name ~= "" and name:sub(1, NAME_MAX) or "moongate"
end

--- Reports keys that are wrong by themselves or together.
local function check_together(given, config, report)
    if given.app == nil and (given.hosts == nil or type(given.hosts) == "table" and next(given.hosts) == nil) then
        report("app", 'missing: name the file that returns your app, as in app = "site.lua"')
    end
    local seen = {}
    for at, entry in ipairs(config.listen or {}) do
        if seen[entry] and not entry:match(":0$") then report(schema.join("listen", at), ("%q is there twice"):format(entry)) end
        seen[entry] = true
    end
end

local function settings_of(config, limits)
    local settings = {}
    for _, field in ipairs(limits) do
        local value = config.limits and config.limits[field.name]
        settings[field.field] = value == nil and field.initial or value
    end
    return settings
end

local function resolve_logs(folder, logs)
    for _, key in ipairs { "access", "errors" } do
        if logs[key] ~= "off" and logs[key] ~= "-" then logs[key] = paths.resolve(folder, logs[key]) end
    end
end

--- Validates. `report(key, message, hint)` is called for each problem; keys of the command line begin with "--".
---@param given table what the file returned
---@param place { file: string, folder: string }
---@param overrides { listen?: string[], workers?: string, engine?: string, name?: string, debug?: boolean }
---@return table? config nil after a problem
---@return table checked what is sound of it, not complete
function M.read(given, place, overrides, report)
    local count = 0
    local function counted(...)
        count = count + 1
        report(...)
    end
    local limits = limit_fields()
    local all = fields(limits)
    local merged = {}
    for key, value in pairs(given) do merged[key] = value end
    for key, value in pairs(overlay(overrides)) do
        for _, field in ipairs(all) do
            if field.name == key then
                local fits = field.type.check(value, "--" .. key, counted) ~= nil
                merged[key] = fits and value or nil
            end
        end
    end
    local config = schema.record(all).check(merged, "", counted)
    check_together(given, config, counted)
    if count > 0 then return nil, config end
    resolve_logs(place.folder, config.log)
    config.settings = settings_of(config, limits)
    config.drain_ms, config.drain, config.limits = config.drain, nil, nil
    config.name = config.name or name_from(place.file)
    return config, config
end

return M
