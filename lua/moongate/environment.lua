--- The world that user files are loaded into: fresh for every generation, over the same Lua state. Modules beside the file are
--- loaded anew and known to this generation alone; Moongate's own modules and installed libraries are shared. Errors become
--- problems with a place; a global that leaks is one.
local caller = require "moongate.caller"
local paths = require "moongate.paths"
local schema = require "moongate.schema"
local snapshot = require "moongate.snapshot"

local M = {}

local NAMES = {
    "assert", "bit", "collectgarbage", "coroutine", "debug", "error", "gcinfo", "getmetatable", "io", "ipairs", "jit", "math",
    "newproxy", "next", "os", "pairs", "pcall", "print", "rawequal", "rawget", "rawlen", "rawset", "select", "setmetatable",
    "string", "table", "tonumber", "tostring", "type", "unpack", "xpcall", "_VERSION",
}

local BUILT_IN = { bit = true, coroutine = true, debug = true, io = true, jit = true, math = true, os = true, string = true, table = true }

--- C declarations outlive every generation; a text that was accepted once is not declared again.
local declared = {}

local private_ffi

--- The FFI as user files see it: declaring the same text twice is no error, so that a file can be loaded again.
local function ffi_for_users()
    if private_ffi then return private_ffi end
    local native = require "ffi"
    private_ffi = {}
    for name, value in pairs(native) do private_ffi[name] = value end
    private_ffi.cdef = function(text, ...)
        if select("#", ...) > 0 then return native.cdef(text, ...) end
        if declared[text] then return end
        local ok, message = pcall(native.cdef, text)
        if not ok then error((tostring(message):gsub("^[^\n]-:%d+: ", "")), 2) end
        declared[text] = true
    end
    return private_ffi
end

local function read_disk(path)
    local file, message = io.open(path, "rb")
    if not file then return nil, message end
    local text, failure = file:read("*a")
    file:close()
    return text, failure and path .. ": " .. failure
end

---@class moongate.Generation
---@field problems table where problems go
---@field files string[] every file loaded, in order
---@field read moongate.Snapshot what was read from the disk or from `given`, and what was looked for in vain
---@field given? moongate.Snapshot where files are looked for before the disk
local Generation = {}
Generation.__index = Generation

--- Nothing loaded yet.
---@param problems table a list of moongate.problems
---@param given? moongate.Snapshot the files to load; what it does not know is on the disk
function M.new(problems, given)
    return setmetatable({
        problems = problems, files = {}, read = snapshot.new(), given = given,
        known = {},   -- file → true
        modules = {}, -- file → value, or LOADING
        rooms = {},   -- folder → environment
        short = {},   -- name of a file as error messages cut it → file
        places = {},  -- error → problem: how a failure keeps its place on its way through require()
        loading = true,
    }, Generation)
end

--- Places in the text of an error message, as far as its file is one of ours.
local function split_message(generation, message)
    for short, file in pairs(generation.short) do
        if message:sub(1, #short + 1) == short .. ":" then
            local line, rest = message:match("^(%d+): (.*)$", #short + 2)
            if line then return file, tonumber(line), rest end
        end
    end
    return nil, nil, message
end

--- The innermost frame of a user's file, seen from an error handler.
local function user_frame(generation)
    local level = 3
    while true do
        local info = debug.getinfo(level, "Sl")
        if not info then return nil end
        local file = info.what ~= "C" and caller.file_of(info.source)
        if file and generation.known[file] then return file, info.currentline end
        level = level + 1
    end
end

--- What to do about an error that beginners and typists make.
local function hint_for(generation, folder, message)
    local name = message:match("global '([%w_]+)' %(a nil value%)")
    if name then
        local names = {}
        for known in pairs(generation.rooms[folder] or {}) do names[#names + 1] = known end
        table.sort(names)
        local near = schema.nearest(name, names)
        return near and ("did you mean %q?"):format(near) or ("nothing is called %q here"):format(name)
    end
    if message:match("attempt to redefine") then
        return "C declarations stay for the life of a worker: give a changed one another name"
    end
    return nil
end

--- The column of the token that a syntax error names, when the line has it once.
local function column_of(line, message)
    local token = message:match("near '(.-)'$")
    local from, to = nil, nil
    if token and line then from, to = line:find(token, 1, true) end
    if not from or line:find(token, to + 1, true) then return nil end
    return from
end

local function nth_line(text, number)
    local at = 0
    for line in (text .. "\n"):gmatch("([^\n]*)\n") do
        at = at + 1
        if at == number then return line end
    end
    return nil
end

--- The text of a file, as it was when this generation first asked for it; or nil and a message.
---@param path string
---@return string? text
---@return string? message
function Generation:text_of(path)
    local text, message = self.read.files[path], nil
    if text == nil and self.given then text = self.given.files[path] end
    if not text and text ~= false then text, message = read_disk(path) end
    self.read:add(path, text or false)
    if text then return text end
    return nil, message or path .. ": No such file or directory"
end

--- Is there a file of that name, which can be read?
function Generation:has(path)
    return self:text_of(path) ~= nil
end

--- Compiles a file into its folder's environment. nil and a message, whose place is kept, when it does not compile.
function Generation:compile(path, folder)
    local text, message = self:text_of(path)
    if not text then return nil, ("cannot read %s: %s"):format(path, (message:gsub("^.-: ", "", 1))) end
    if not self.known[path] then
        self.known[path] = true
        self.files[#self.files + 1] = path
        self.short[debug.getinfo(loadstring("", "@" .. path), "S").short_src] = path
    end
    self.problems:source(path, text)
    if text:byte() == 27 then return nil, path .. ": compiled Lua is not loaded, only source" end
    local chunk, failure = loadstring(text, "@" .. path)
    if chunk then return setfenv(chunk, self:room(folder)) end
    local file, line, rest = split_message(self, failure)
    self.places[failure] = {
        file = file or path, line = line, column = line and column_of(nth_line(text, line), rest), message = rest,
    }
    return nil, failure
end

--- A problem out of an error value: where it was raised, or the innermost user's line.
function Generation:describe(failure)
    if failure ~= nil and self.places[failure] then return self.places[failure] end
    if type(failure) ~= "string" then
        local file, line = user_frame(self)
        local text = type(failure) == "table" and (failure.message or failure[1]) or failure
        return { file = file, line = line, message = "raised " .. schema.shown(text) }
    end
    local file, line, rest = split_message(self, failure)
    if not file then file, line = user_frame(self) end
    return { file = file, line = line, message = rest }
end

local LOADING = {}

--- Runs a user's module once per generation, whoever asks for it first.
local function load_module(generation, path, folder, name)
    local value = generation.modules[path]
    if value == LOADING then error(("module %q is asked for while it loads: two files require each other"):format(name), 3) end
    if value ~= nil then return value end
    local chunk, message = generation:compile(path, folder)
    if not chunk then error(message, 0) end
    generation.modules[path] = LOADING
    local ok, result = xpcall(chunk, function(failure)
        if failure ~= nil then generation.places[failure] = generation:describe(failure) end
        return failure
    end, name, path)
    generation.modules[path] = nil
    if not ok then error(result, 0) end
    if result == nil then result = true end
    generation.modules[path] = result
    return result
end

--- The file of a user's module, beside the file that asks for it or below.
local function find_module(generation, folder, name)
    local base = (folder == "." and "" or folder:gsub("/$", "") .. "/") .. name:gsub("%.", "/")
    for _, path in ipairs { base .. ".lua", base .. "/init.lua" } do
        if generation:has(path) then return path end
    end
    return nil, ("%s.lua, %s/init.lua"):format(base, base)
end

local function is_shared(name)
    return name == "moongate" or name:sub(1, 9) == "moongate." or BUILT_IN[name]
end

--- `require` for one folder.
local function require_for(generation, folder, loaded)
    return function(name)
        if type(name) ~= "string" then error("require: expected a name, got " .. schema.shown(name), 2) end
        if loaded[name] ~= nil then return loaded[name] end
        local value
        if name == "ffi" then
            value = ffi_for_users()
        elseif is_shared(name) then
            value = require(name)
        else
            local path, tried = find_module(generation, folder, name)
            if path then
                value = load_module(generation, path, folder, name)
                if value == true and loaded[name] ~= nil then value = loaded[name] end
            else
                local ok, found = pcall(require, name)
                if not ok and tostring(found):match("^module '.-' not found") then
                    error(("module %q not found: neither %s nor an installed one"):format(name, tried), 2)
                end
                if not ok then error(found, 0) end
                value = found
            end
        end
        loaded[name] = value
        return value
    end
end

--- Chunks made by user code see the same world as the file that makes them.
local function chunk_makers(generation, room)
    --- While loading, the files that a chunk is made of belong to the generation.
    local function load_file(path)
        if not generation.loading or type(path) ~= "string" then return loadfile(path) end
        local text, message = generation:text_of(path)
        if not text then return nil, "cannot open " .. message end
        return loadstring((text:gsub("^#[^\n]*", "")), "@" .. path)
    end
    local function bound(chunk, message)
        if not chunk then return nil, message end
        return setfenv(chunk, room)
    end
    room.loadstring = function(text, name) return bound(loadstring(text, name)) end
    room.load = function(source, name) return bound(load(source, name)) end
    room.loadfile = function(path) return bound(load_file(path)) end
    room.dofile = function(path)
        local chunk, message = bound(load_file(path))
        if not chunk then error(message, 0) end
        return chunk()
    end
    room.getfenv = function(target) return target == nil and room or getfenv(type(target) == "number" and target + 1 or target) end
    room.setfenv = function(target, env) return setfenv(type(target) == "number" and target + 1 or target, env) end
end

--- Assigning an unknown global: a problem while loading, and loading goes on to find the others; an error afterwards.
local function guard(generation)
    return function(room, name, value)
        local text = ("global %q is assigned: nothing is global, make it local"):format(tostring(name))
        if not generation.loading then error(text, 2) end
        local info = debug.getinfo(2, "Sl")
        local form = type(value) == "function" and "local function %s(…)" or "local %s = …"
        generation.problems:add {
            file = caller.file_of(info.source), line = info.currentline, message = text,
            hint = "write " .. form:format(tostring(name)),
        }
        rawset(room, name, value)
    end
end

--- The environment of the files of one folder.
function Generation:room(folder)
    if self.rooms[folder] then return self.rooms[folder] end
    local room, loaded = {}, {}
    for _, name in ipairs(NAMES) do room[name] = _G[name] end
    for name in pairs(BUILT_IN) do loaded[name] = _G[name] end
    room._G = room
    loaded._G = room
    room.require = require_for(self, folder, loaded)
    room.package = {
        loaded = loaded, preload = {}, cpath = package.cpath, config = package.config,
        path = ("%s/?.lua;%s/?/init.lua;%s"):format(folder, folder, package.path),
    }
    chunk_makers(self, room)
    self.rooms[folder] = setmetatable(room, { __newindex = guard(self) })
    return room
end

--- Loads one file, once. What it returns; or nil after the problem was added.
---@param path string
---@return boolean ok
---@return any value
function Generation:run(path)
    local value = self.modules[path]
    if value ~= nil then return true, value end
    local folder = paths.folder_of(path)
    self.modules[path] = LOADING
    local ok, result = xpcall(function()
        local chunk, message = self:compile(path, folder)
        if not chunk then error(message, 0) end
        return chunk(path)
    end, function(failure) return self:describe(failure) end)
    self.modules[path] = ok and result or nil
    if ok then return true, result end
    result.file = result.file or path
    result.hint = result.hint or hint_for(self, paths.folder_of(result.file), result.message)
    self.problems:add(result)
    return false, nil
end

--- Loading has ended: assigning a global raises from here on.
function Generation:seal()
    self.loading = false
end

return M
