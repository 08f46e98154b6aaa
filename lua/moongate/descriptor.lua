--- Descriptors: answers said by a value instead of a function, so that C can give them without Lua. Made by `app:files`,
--- `app:proxy` and `app:redirect`, or used in place of a handler. Checked when they are made.
local abi = require "moongate.abi"
local await = require "moongate.await"
local caller = require "moongate.caller"
local file_options = require "moongate.file_options"
local paths = require "moongate.paths"
local pattern = require "moongate.pattern"
local proxy_options = require "moongate.proxy_options"
local schema = require "moongate.schema"
local split = require "moongate.split"
local steer = require "moongate.steer"
local upstream = require "moongate.upstream"

local M = {}

---@class moongate.Descriptor
---@field kind "files"|"proxy"|"redirect"
---@field dir? string files: the folder
---@field lines? string files, proxy: the options as C reads them
---@field upstream? moongate.Upstream proxy
---@field to? string redirect: where to, with the route's captures
---@field status? integer redirect
---@field keep_query? boolean redirect
---@field options table what else was said, checked
local Descriptor = {}
Descriptor.__index = Descriptor

local REDIRECTS = { [301] = true, [302] = true, [303] = true, [307] = true, [308] = true }

local path_pattern = schema.custom('a path such as "/v1/*"', { "string" }, function(value)
    if type(value) ~= "string" or value:sub(1, 1) ~= "/" or value:match("[%c #]") then return nil end
    return value
end)

--- Options by kind, as rows of a schema, so that an app's methods can take them together with a route's.
M.FIELDS = {
    files = file_options.FIELDS,
    proxy = proxy_options.fields({ { name = "path", type = path_pattern } }, steer.FIELDS),
    redirect = {
        { name = "keep_query", type = schema.boolean, default = true },
    },
}

local checked_before = setmetatable({}, { __mode = "k" })

--- Options that were checked as part of others: a second time they would be read as if a user had written them, milliseconds as seconds.
function M.checked(options)
    checked_before[options] = true
    return options
end

local function options_of(kind, given, what)
    if given and checked_before[given] then return given end
    return schema.demand(schema.record(M.FIELDS[kind]), given or {}, what, -1)
end

local function new(kind, fields)
    fields.kind = kind
    return setmetatable(fields, Descriptor)
end

--- Files below a folder. A relative folder is looked for beside the file that makes the call.
---@param dir string
---@param options? table see file_options.lua
---@param folder? string where a relative `dir` lies instead
---@return moongate.Descriptor
function M.files(dir, options, folder)
    if type(dir) ~= "string" or dir == "" or dir:find("\0", 1, true) then
        caller.raise("app:files: expected a folder, got " .. schema.shown(dir), nil, { what = "app:files", argument = 2 })
    end
    local _, file = caller.where()
    local checked = options_of("files", options, "app:files")
    return new("files", { dir = paths.resolve(folder or paths.folder_of(file), dir), lines = file_options.lines(checked), options = checked })
end

--- Is it a request that makes it, or a task? Then what is opened for it is given up again.
local function is_serving() return abi.border ~= nil and await.current() ~= nil end

--- Requests forwarded to an upstream. `path` replaces the request's; captures of the route may stand in it.
---@param target moongate.Upstream|moongate.Split|string|table
---@param options? table `path`, and what proxy_options.lua and steer.lua know
---@return moongate.Descriptor
function M.proxy(target, options)
    local checked, is_passing = options_of("proxy", options, "app:proxy"), is_serving()
    local function to(one)
        return new("proxy", { upstream = one, lines = proxy_options.lines(one, checked), options = checked, is_passing = is_passing,
            origin = is_passing and type(target) == "string" and one.servers[1].address or nil })
    end
    if not split.is(target) then return to(upstream.from(target, "app:proxy")) end
    local branches = {}
    for at, part in ipairs(target.parts) do branches[at] = to(part.upstream) end
    return new("proxy", { upstream = branches[1].upstream, lines = branches[1].lines, options = checked, split = target, branches = branches })
end

--- The upstreams that a descriptor of kind "proxy" names.
---@return moongate.Upstream[]
function M.upstreams(descriptor)
    if not descriptor.split then return { descriptor.upstream } end
    local list = {}
    for at, branch in ipairs(descriptor.branches) do list[at] = branch.upstream end
    return list
end

--- Another place. `to` is a path or a URL; captures of the route may stand in its path.
---@param to string
---@param status? integer 301, 302 (the default), 303, 307 or 308
---@param options? { keep_query?: boolean }
---@return moongate.Descriptor
function M.redirect(to, status, options)
    if type(to) ~= "string" or not (to:match("^/") or to:match("^%a[%w+.-]*://[^/]")) then
        local hint = type(to) == "string" and to:match("^[%w._-]+$") and ("write %q"):format("/" .. to) or nil
        caller.raise('app:redirect: expected a path such as "/new" or a URL, got ' .. schema.shown(to), hint, { what = "app:redirect", argument = 2 })
    end
    if to:match("[%c \127-\255]") then
        caller.raise(("app:redirect: %s: spaces, controls and non-ASCII characters are written as %%XX"):format(schema.quoted(to)), nil,
            { what = "app:redirect", argument = 2 })
    end
    if status ~= nil and not REDIRECTS[status] then
        caller.raise("app:redirect: expected a status of 301, 302, 303, 307 or 308, got " .. schema.shown(status), nil,
            { what = "app:redirect", argument = 3 })
    end
    local checked = options_of("redirect", options, "app:redirect")
    return new("redirect", { to = to, status = status or 302, keep_query = checked.keep_query, options = checked })
end

--- Is this a descriptor?
function M.is(value)
    return getmetatable(value) == Descriptor
end

--- The template whose captures the route must have, if any.
local function template(descriptor)
    if descriptor.kind == "redirect" then return descriptor.to:gsub("^%a[%w+.-]*://[^/]*", ""):match("^[^?#]*") end
    return (descriptor.options.path or ""):match("^[^?]*")
end

--- Can this descriptor stand at that pattern? nil, or what is wrong.
---@param route_pattern string
---@return string? message
---@return string? hint
function M.misfit(descriptor, route_pattern)
    if descriptor.kind == "files" and not pattern.is_open(route_pattern) then
        return ("%q: files need a pattern that ends in a wildcard"):format(route_pattern),
            ('write "%s/*"'):format((route_pattern:gsub("/$", "")))
    end
    local has = {}
    for _, name in ipairs(pattern.names(route_pattern)) do has[name] = true end
    for _, name in ipairs(pattern.names(template(descriptor))) do
        if not has[name] then
            return ("%q has no capture %q for %q"):format(route_pattern, name, descriptor.to or descriptor.options.path)
        end
    end
    if descriptor.to and pattern.shape(descriptor.to) == pattern.shape(route_pattern) then
        return ("%q redirects to itself"):format(route_pattern)
    end
    return nil
end

--- One phrase for tables and messages: `files public`, `proxy to "api"`, `302 /new`.
function M.describe(descriptor)
    if descriptor.kind == "files" then return "files " .. descriptor.dir end
    if descriptor.kind == "proxy" then
        local list = {}
        for at, one in ipairs(M.upstreams(descriptor)) do list[at] = ("%q"):format(one.name) end
        return "proxy to " .. table.concat(list, " or ")
    end
    return ("%d %s"):format(descriptor.status, descriptor.to)
end

Descriptor.__tostring = M.describe

return M
