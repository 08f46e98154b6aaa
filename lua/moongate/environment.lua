--- The world that user files are loaded into: fresh for every generation, over the same Lua state. Modules beside the file are
--- loaded anew and known to this generation alone; Moongate's own modules and installed libraries are shared. Errors become
--- problems with a place; a global that leaks is one.
local caller = require "moongate.caller"
local ghost = require "moongate.ghost"
local lexer = require "moongate.lexer"
local lint = require "moongate.lint"
local named = require "moongate.named"
local paths = require "moongate.paths"
local schema = require "moongate.schema"
local snapshot = require "moongate.snapshot"
local spots = require "moongate.spots"
local syntax = require "moongate.syntax"
local syntax_hints = require "moongate.syntax_hints"

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
        trees = {},   -- file → its tree, false: it has none
        folders = {}, -- file → the folder whose environment it has
        leaked = {},  -- globals that were assigned by mistake
        leaks = {},   -- the same as problems, where they were seen
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
        local there = {}
        for known in pairs(generation.rooms[folder] or {}) do there[#there + 1] = known end
        table.sort(there)
        local _, hint = lint.meant(name, there)
        return hint
    end
    if message:match("attempt to redefine") then
        return "C declarations stay for the life of a worker: give a changed one another name"
    end
    if message:match("attempt to index local 'self'") or message:match("bad argument #1 to '.-' %(.-got no value%)") then
        return "is it called with a dot, where a colon is meant?"
    end
    return nil
end

--- The columns of the token that a syntax error names, when the line has it once.
local function column_of(line, message)
    local token = message:match("near '(.-)'$")
    local from, to = nil, nil
    if token and line then from, to = line:find(token, 1, true) end
    if not from or line:find(token, to + 1, true) then return nil end
    return from, to + 1
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

local function unreadable(path, message, generation)
    local why = message:gsub("^.-: ", "", 1)
    local is_missing = why == "No such file or directory"
    return {
        file = path, message = is_missing and "there is no such file" or "cannot be read: " .. why:lower(),
        hint = is_missing and not path:match("%.lua$") and generation:has(path .. ".lua") and ("did you mean %q?"):format(path .. ".lua") or nil,
    }
end

--- A syntax error as a problem: where it is, or for a block that is never closed, where that begins.
function Generation:misspelt(path, text, failure)
    local file, line, message = split_message(self, failure)
    local opener, word, unclosed = syntax_hints.unclosed(message)
    if opener then
        local from = (nth_line(text, opener) or ""):find(("%%f[%%w]%s%%f[%%W]"):format(word)) or (nth_line(text, opener) or ""):find(word, 1, true)
        return { file = path, line = opener, column = from, end_column = from and from + #word, message = unclosed,
            hint = syntax_hints.hint(message, "", "", text) }
    end
    local shown = line and nth_line(text, line) or ""
    local column, end_column = column_of(shown, message)
    local _, _, at = syntax.read(text)
    local at_line, at_column = nil, nil
    if at then at_line, at_column = lexer.position(lexer.lines(text), at) end
    if at_line == line and not column then column = at_column end
    return {
        file = file or path, line = line, column = column, end_column = end_column, message = message,
        hint = line and syntax_hints.hint(message, shown, nth_line(text, line - 1) or "", text),
    }
end

--- Compiles a file into its folder's environment. nil and a message, whose place is kept, when it does not compile.
function Generation:compile(path, folder)
    local text, message = self:text_of(path)
    if not text then
        local key = ("cannot read %s"):format(path)
        self.places[key] = unreadable(path, message, self)
        return nil, key
    end
    if not self.known[path] then
        self.known[path] = true
        self.files[#self.files + 1] = path
        self.short[debug.getinfo(loadstring("", "@" .. path), "S").short_src] = path
    end
    self.folders[path] = folder
    self.problems:source(path, text)
    if text:byte() == 27 then
        local key = path .. ": compiled Lua is not loaded, only source"
        self.places[key] = { file = path, message = "compiled Lua is not loaded, only source" }
        return nil, key
    end
    local chunk, failure = loadstring(text, "@" .. path)
    if chunk then return setfenv(chunk, self:room(folder)) end
    self.places[failure] = self:misspelt(path, text, failure)
    return nil, failure
end

--- The tree of a file that compiles, or nil.
function Generation:tree(file)
    local tree = self.trees[file]
    if tree == nil then
        local text = self.problems.sources[file]
        tree = text and loadstring(text, "=") and syntax.read(text) or false
        self.trees[file] = tree
    end
    return tree or nil
end

--- Why there is no handler, by what stands in its place. A name that is not there is told as such; nil then.
local function explain_missing(problem, node)
    if not node then return true end
    if node.t == "name" and not node.var then return nil end
    if node.t == "call" then problem.hint = "this call returned nothing: name the function, without calling it" end
    if node.t == "string" or node.t == "table" then problem.hint = "the handler comes last: function(req) … end" end
    return true
end

--- A problem at a line, with its column as far as the text shows it.
---@param spot? moongate.Spot
function Generation:add_at(file, line, problem, spot)
    local tree = spot and self:tree(file)
    if tree and spot.is_missing and not explain_missing(problem, spots.last(tree, line, spot)) then return end
    problem.file, problem.line, problem.about = file, line, spot and spot.about
    if tree then
        local at_line, column, end_column, is_exact = spots.find(tree, line, spot)
        if at_line then problem.line, problem.column, problem.end_column = at_line, column, end_column end
        if is_exact then problem.message = problem.message:gsub('", byte %d+: ', '": ', 1) end
    end
    self.problems:add(problem)
end

--- Takes misuse of the library from here on, until `seal()`.
function Generation:record()
    caller.record(function(file, line, message, hint, spot)
        self:add_at(file, line, { message = message, hint = hint }, spot)
    end, function(file) return self.known[file] == true end)
end

--- A problem out of an error value: where it was raised, or the innermost user's line.
function Generation:describe(failure)
    if failure == caller.STOP or failure == ghost.ENOUGH then return { is_told = true } end
    if failure ~= nil and self.places[failure] then return self.places[failure] end
    if type(failure) ~= "string" then
        local file, line = user_frame(self)
        local text = type(failure) == "table" and (failure.message or failure[1]) or failure
        return { file = file, line = line, message = "raised " .. schema.shown(text) }
    end
    local file, line, rest = split_message(self, failure)
    if not file then file, line = user_frame(self) end
    local name = rest:match("^attempt to .-'([%w_]+)'")
    local problem = { file = file, line = line, message = rest, about = name, is_raised = true }
    local tree = name and file and self:tree(file)
    if tree then
        local _, column, end_column = spots.name(tree, line, name)
        problem.column, problem.end_column = column, end_column
    end
    return problem
end

--- Type errors after something could not be loaded are its doing, most likely.
local function is_consequence(problem)
    if problem.is_told then return true end
    local message = problem.message or ""
    return ghost.is_given() and problem.is_raised and (message:match("^attempt to ") or message:match("^bad argument ") or message:match("^'for' "))
end

--- Adds what ended a file.
function Generation:add_failure(problem, path)
    if is_consequence(problem) then return end
    problem.file = problem.file or path
    local name = not problem.line and problem.message:match('^module "(.-)" ')
    local tree = name and self:tree(problem.file)
    if tree then -- `return require "x"` leaves no frame behind
        problem.line, problem.column, problem.end_column = spots.argument(tree, "require", name)
    end
    problem.hint = problem.hint or hint_for(self, paths.folder_of(problem.file), problem.message)
    self.problems:add(problem)
end

local LOADING = {}

--- Runs a user's module once per generation, whoever asks for it first.
local function load_module(generation, path, folder, name)
    local value = generation.modules[path]
    if value == LOADING then
        return nil, ("module %q is asked for while it loads: two files require each other"):format(name),
            "put what both need into a third file"
    end
    if value ~= nil then return value end
    local chunk, message = generation:compile(path, folder)
    if not chunk then error(message, 0) end
    generation.modules[path] = LOADING
    local ok, result = xpcall(chunk, function(failure)
        if failure ~= nil then generation.places[failure] = generation:describe(failure) end
        return failure
    end, name, path)
    generation.modules[path] = nil
    if not ok then
        generation:look_further(path)
        error(result, 0)
    end
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

--- Modules of ours that a site asks for by name.
local function own_module(name)
    local ok, found = pcall(require, name)
    if ok then return found end
    if not tostring(found):match("^module '.-' not found") then error(found, 0) end
    return nil, ("module %q is not there"):format(name), 'everything that a site is written with is in require "moongate"'
end

--- A module by name: beside the file that asks, else one of the system's. nil, a message and a hint when there is none.
local function find_and_load(generation, folder, name, loaded)
    local path, tried = find_module(generation, folder, name)
    if path then
        local value, message, hint = load_module(generation, path, folder, name)
        if message then return nil, message, hint end
        if value == true and loaded[name] ~= nil then value = loaded[name] end
        return value
    end
    local ok, found = pcall(require, name)
    if ok then return found end
    if not tostring(found):match("^module '.-' not found") then error(found, 0) end
    local base = name:match("([^/]+)%.lua$")
    local hint = base and ('a module is named without ".lua": require %q'):format((name:gsub("%.lua$", ""):gsub("/", "."))) or nil
    return nil, ("module %q not found: neither %s nor an installed one"):format(name, tried), hint
end

--- What a file gets for a module that cannot be loaded, while nobody but us looks after the error: the mistake is told, and the file goes on.
local function stand_in(generation, result)
    generation:add_failure(generation:describe(result))
    return ghost.get()
end

--- `require` for one folder.
local function require_for(generation, folder, loaded)
    local function load_one(name)
        if name == "ffi" then return ffi_for_users() end
        if name == "moongate" or BUILT_IN[name] then return require(name) end
        if is_shared(name) then return own_module(name) end
        return find_and_load(generation, folder, name, loaded)
    end
    return function(name)
        if type(name) ~= "string" then error("require: expected a name, got " .. schema.shown(name), 2) end
        if loaded[name] ~= nil then return loaded[name] end
        local ok, value, message, hint = xpcall(function() return load_one(name) end, function(failure)
            if failure ~= nil and not generation.places[failure] then generation.places[failure] = generation:describe(failure) end
            return failure
        end)
        local is_ours = caller.is_recording()
        if not ok then
            if not is_ours then error(value, 0) end
            value = stand_in(generation, value)
        elseif message then
            if not is_ours then error(message, 2) end
            generation.is_partial = true
            caller.tell(message, hint, { what = "require", argument = 1, value = name })
            value = ghost.get()
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
        generation.leaks[#generation.leaks + 1] = {
            file = caller.file_of(info.source), line = info.currentline, message = text,
            hint = "write " .. form:format(tostring(name)), about = name,
        }
        generation.leaked[name] = true
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
    self:add_failure(result, path)
    self:look_further(path)
    return false, nil
end

--- Compiles what a file names that has not come to it.
function Generation:look_at(file, folder)
    if self.known[file] then return end
    local chunk, failure = self:compile(file, folder)
    if not chunk then self:add_failure(self.places[failure], file) end
    self:look_further(file)
end

--- A file has ended early: the modules that it names and did not come to are compiled, so that their mistakes are told with its own; of a
--- config also the apps.
function Generation:look_further(path)
    local text, folder = self.problems.sources[path], self.folders[path]
    self.is_partial = true
    if not text then return end
    for _, name in ipairs(named.arguments(text, "require")) do
        local file = not is_shared(name) and name ~= "ffi" and find_module(self, folder, name)
        if file then self:look_at(file, folder) end
    end
    if path ~= self.files[1] then return end
    for _, name in ipairs(named.apps(text)) do
        local file = paths.resolve(folder, name)
        if self:has(file) then self:look_at(file, paths.folder_of(file)) end
    end
end

--- What requests were given. Where a file has ended early it may have given them more: what it would have given is read out of its text.
function Generation:extensions(given)
    if not self.is_partial then return given end
    local list = { unpack(given) }
    for _, file in ipairs(self.files) do
        for _, name in ipairs(named.arguments(self.problems.sources[file], "extend_request")) do list[#list + 1] = name end
    end
    return list
end

--- Looks at the names in every file.
---@param extensions string[] what requests were given
function Generation:check_names(extensions)
    extensions = self:extensions(extensions)
    for _, file in ipairs(self.files) do
        local tree = self:tree(file)
        local globals = {}
        for name in pairs(self:room(self.folders[file])) do
            if not self.leaked[name] then globals[name] = true end
        end
        if tree then lint.check({ file = file, tree = tree, globals = globals, extensions = extensions, is_partial = self.is_partial }, self.problems) end
    end
    self:add_leaks()
end

--- Globals that were assigned while files loaded, but those that were told where they stand in the text.
function Generation:add_leaks()
    for _, leak in ipairs(self.leaks) do
        local is_told = false
        for _, other in ipairs(self.problems) do
            is_told = is_told or other.file == leak.file and other.message == leak.message
        end
        if not is_told then self.problems:add(leak) end
    end
end

--- Loading has ended: misuse and assigning a global raise from here on.
function Generation:seal()
    self.loading = false
    caller.record(nil)
end

return M
