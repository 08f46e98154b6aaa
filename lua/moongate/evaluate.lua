--- A file → a generation, as a value: one validated config, one app made of all apps, the files it came from; or every problem.
--- Runs user code, so a disposable process does it first. Takes nothing into service.
local app = require "moongate.app"
local compose = require "moongate.compose"
local config = require "moongate.config"
local environment = require "moongate.environment"
local ghost = require "moongate.ghost"
local judge = require "moongate.judge"
local loading = require "moongate.loading"
local locate = require "moongate.locate"
local paths = require "moongate.paths"
local problems = require "moongate.problems"
local schema = require "moongate.schema"

local M = {}

---@class moongate.Evaluation
---@field config? table validated, in the program's units; nil after a problem
---@field apps? moongate.App one app, hosts applied; nil after a problem
---@field files string[] every file loaded
---@field read moongate.Snapshot every file that was asked for, with its text, and those that were missing
---@field problems table a list of moongate.problems

--- Reports a key of the config at its place in the text, as far as it can be found.
local function reporter(list, file)
    local keys
    return function(key, message, hint, severity)
        if key:match("^%-%-") then
            list:add { file = "command line", key = key, message = message, hint = hint, severity = severity }
            return
        end
        local text = list.sources[file]
        keys = keys or text and locate.new(text)
        local line, column, end_column
        if keys then line, column, end_column = keys:position(key) end
        list:add {
            file = file, line = line, column = column, end_column = end_column, key = key, message = message, hint = hint, severity = severity,
        }
    end
end

--- Is it what `require "moongate"` returns?
local function is_library(value)
    return type(value) == "table" and value == package.loaded["moongate"]
end

--- What a file returned that should have returned something else: a message and what to write.
local function misreturned(value, wanted)
    if is_library(value) then return "returns the library itself", "end it with `return app`, where app = mg.app()" end
    return value == nil and "returns nothing" or "returns a " .. type(value), wanted
end

--- What a file named by a config returns must be an app.
local function load_app(generation, path, report, key)
    local ok, value = generation:run(path)
    if not ok or ghost.is(value) then return nil end
    if app.is(value) then return value end
    if generation.files[1] == path then
        report(key, "names the config itself")
    elseif type(value) == "table" and not is_library(value) and value.app ~= nil then
        generation.problems:add {
            file = path, message = "returns a config, where an app is expected", hint = "name the file that returns the app, or run this one",
        }
    else
        local message, hint = misreturned(value, "end it with `return app`, where app = mg.app()")
        generation.problems:add { file = path, message = message .. ", not an app", hint = hint }
    end
    return nil
end

--- Files are opened below the folder of the config; a missing one is told at its key.
local function app_of(generation, entry, folder, report, key)
    if app.is(entry) then return entry end
    if ghost.is(entry) then return nil end
    local path = paths.resolve(folder, entry)
    local text, message = generation:text_of(path)
    if not text then
        local why = message:gsub("^.-: ", "", 1)
        local is_missing = why == "No such file or directory"
        report(key, is_missing and ("there is no file %q"):format(path) or ("cannot read %q: %s"):format(path, why:lower()),
            is_missing and entry:sub(1, 1) ~= "/" and "a file is looked for beside the config" or nil)
        return nil
    end
    return load_app(generation, path, report, key)
end

--- The default app and those of hosts, in a stable order.
local function gather(settings, generation, place, report)
    local parts = {}
    if settings.app then
        parts[1] = { app = app_of(generation, settings.app, place.folder, report, "app") }
    end
    local names = {}
    for host in pairs(settings.hosts or {}) do names[#names + 1] = host end
    table.sort(names)
    for _, host in ipairs(names) do
        local key = schema.join("hosts", host)
        parts[#parts + 1] = { host = host, app = app_of(generation, settings.hosts[host], place.folder, report, key) }
    end
    return parts
end

--- One app out of the parts, and what `mg.extend_request` gathered.
local function merge(parts, gathered, generation)
    local whole = app.new()
    local function fail(where, message) generation.problems:add_at(where, message) end
    for _, part in ipairs(parts) do
        if part.app then
            compose.graft(whole, part.app.root, { prefix = "", host = part.host }, fail)
            app.seal(part.app)
        end
    end
    compose.graft(whole, gathered, { prefix = "" }, fail)
    compose.finish_errors(whole)
    whole.routes = compose.order(whole.routes)
    return whole
end

--- Value of a file → config, and the apps that it names. The apps are loaded even when the config has problems, to find theirs, too.
local function read_value(value, generation, place, overrides, report)
    local list = generation.problems
    local given = value
    if ghost.is(value) then return nil, {} end
    if app.is(value) then given = { app = value } end
    if type(given) ~= "table" or is_library(given) then
        local message, hint = misreturned(value, "end it with `return app`, or with `return { app = …, listen = … }`")
        list:add { file = place.file, message = message, hint = hint }
        return nil, {}
    end
    local settings, checked = config.read(given, place, overrides, report)
    local parts = gather(checked, generation, place, report)
    checked.app, checked.hosts = nil, nil
    return settings, parts, checked
end

--- What scripts have as os.exit: a mistake with a line. It would end the check as if all were well, or a worker with all that it serves.
function M.no_exit()
    if loading.now then error("os.exit() while loading: nothing would be served", 2) end
    error("os.exit() would end the whole worker: return an answer, or raise an error", 2)
end

local function without_exit(fn, generation)
    local exit = os.exit
    os.exit = M.no_exit
    local ok, value = fn(generation)
    os.exit = exit
    return ok, value
end

--- Runs `produce`, which gives the value of a config, between the beginning and the end of a generation.
local function evaluate(place, overrides, produce, sources, fields)
    local list = problems.new()
    local generation = environment.new(list, sources)
    loading.begin(fields)
    app.gather()
    generation:record()
    local ok, value = without_exit(produce, generation)
    local settings, parts, checked = nil, {}, nil
    local report = reporter(list, place.file)
    if ok then settings, parts, checked = read_value(value, generation, place, overrides, report) end
    local whole = merge(parts, app.gathered(), generation)
    generation:seal()
    judge.whole(whole, generation, settings, checked, place.folder, report, sources == nil)
    loading.finish()
    if list:count() > 0 then settings, whole = nil, nil end
    return { config = settings, apps = whole, files = generation.files, read = generation.read, problems = list }
end

--- Evaluates a config or an app. Never raises for what the file does: look at `problems`.
---@param path string
---@param overrides? { listen?: string[], workers?: string, engine?: string, name?: string, debug?: boolean } what the command line said
---@param sources? moongate.Snapshot where files are looked for before the disk
---@param fields? moongate.Loading who loads, and how
---@return moongate.Evaluation
function M.file(path, overrides, sources, fields)
    local place = { file = path, folder = paths.folder_of(path) }
    return evaluate(place, overrides or {}, function(generation) return generation:run(path) end, sources, fields)
end

--- Evaluates a config that a function makes: what `serve` and `proxy` stand for. An error it raises is a problem of the command line.
---@param produce fun(): table
---@param overrides? table
---@param sources? moongate.Snapshot
---@param fields? moongate.Loading
---@return moongate.Evaluation
function M.value(produce, overrides, sources, fields)
    local place = { file = "command line", folder = "." }
    return evaluate(place, overrides or {}, function(generation)
        local ok, value = pcall(produce)
        if ok then return true, value end
        generation.problems:add { file = place.file, message = (tostring(value):gsub("^%S-:%d+: ", ""):gsub("^app:", "")) }
        return false, nil
    end, sources, fields)
end

local MAKERS = { serve = "moongate.serve", proxy = "moongate.proxy" }

--- Evaluates what a command asks for: `serve` and `proxy` their words, all others a file.
---@param options { command: string, file?: string, arguments?: string[], listen?: string[], workers?: string, engine?: string, name?: string, debug?: boolean }
---@param sources? moongate.Snapshot where files are looked for before the disk
---@param fields? moongate.Loading who loads, and how
---@return moongate.Evaluation
function M.command(options, sources, fields)
    local maker = MAKERS[options.command]
    if not maker then return M.file(options.file or "conf/moongate.lua", options, sources, fields) end
    return M.value(function() return require(maker).config(options.arguments or {}) end, options, sources, fields)
end

return M
