--- Who called the library: the nearest frame of the stack that is not one of Moongate's own modules. Names places as
--- `site.lua:14` and raises misuse there, however deep the call went inside the library. While files load, misuse is recorded
--- instead and loading goes on, so that all of it is told at once.
local ghost = require "moongate.ghost"
local loading = require "moongate.loading"

local M = {}

local own_prefix = debug.getinfo(1, "S").source:match("^(.*)caller%.lua$")

local own = {} -- chunks that are known to be ours

--- Is this chunk one of ours? It lies beside this module and is loaded under the library's name.
local function is_ours(source)
    if own[source] then return true end
    if source:sub(1, #own_prefix) ~= own_prefix then return false end
    local name = source:sub(#own_prefix + 1):match("^([%w_]+)%.lua$")
    own[source] = name ~= nil and (name == "caller" or name == "init" or package.loaded["moongate." .. name] ~= nil) or nil
    return own[source] == true
end

--- The level of the user's frame, as error() counts it in the function that asks, and its debug record.
local function frame()
    local level = 3
    while true do
        local info = debug.getinfo(level, "S")
        if not info then return nil end
        if info.what ~= "C" and not is_ours(info.source) then return level - 1, debug.getinfo(level, "Sl") end
        level = level + 1
    end
end

--- The file of a chunk: `@site.lua` and `=site.lua` are "site.lua", text is "[string]".
---@param source string as debug.getinfo() gives it
---@return string
function M.file_of(source)
    local mark = source:sub(1, 1)
    if mark == "@" or mark == "=" then return source:sub(2) end
    return "[string]"
end

--- Where the user's code called the library: "site.lua:14".
---@return string where
---@return string file
function M.where()
    local _, info = frame()
    if not info then return "[unknown]", "[unknown]" end
    local file = M.file_of(info.source)
    return ("%s:%d"):format(file, info.currentline), file
end

--- Where a function is defined.
---@param fn function
---@return string
function M.definition(fn)
    local info = debug.getinfo(fn, "S")
    if info.what == "C" then return "[C]" end
    return ("%s:%d"):format(M.file_of(info.source), info.linedefined)
end

--- Did the function that called ours at `level` belong to the user? For metamethods, which the library itself may run, too.
---@param level integer as debug.getinfo() counts it in the function that asks
function M.is_user(level)
    local info = debug.getinfo(level + 1, "S")
    return info ~= nil and info.what ~= "C" and not is_ours(info.source)
end

--- ---- misuse ----

--- What stops a call that cannot go on after its mistake was recorded.
local STOP = setmetatable({}, { __tostring = function() return "a mistake that was told already" end })
M.STOP = STOP

---@class moongate.Spot where in a call a mistake is
---@field what? string the call, as in "app:get"
---@field argument? integer which one; -1 is the last
---@field value? any what was given there
---@field key? string a key of that argument, as in "servers[2].weight"
---@field is_missing? boolean it was nil where a handler is expected
---@field byte? integer in the text of that argument, from 1
---@field about? string instead of a call: the name it is about, where it stands

--- While the files of the present loading do, misuse is given to `fn` instead of being raised.
---@param fn? fun(file: string, line: integer, message: string, hint: string?, spot: moongate.Spot)
---@param known? fun(file: string): boolean is this one of the user's files?
function M.record(fn, known)
    loading.now.recorder, loading.now.is_known = fn, known
end

--- Does the user's code catch errors of this call by itself? Then they are its business.
local function is_caught(is_known)
    local level = 3
    while true do
        local info = debug.getinfo(level, "f")
        if not info then return false end
        if info.func == pcall or info.func == xpcall then
            local above = debug.getinfo(level + 1, "S")
            if above and above.what ~= "C" and is_known(M.file_of(above.source)) then return true end
        end
        level = level + 1
    end
end

local function recorded(info, message, hint, spot)
    local now = loading.now
    if not now or not now.recorder or not info or not now.is_known(M.file_of(info.source)) or is_caught(now.is_known) then return false end
    now.recorder(M.file_of(info.source), info.currentline, message, hint, spot or {})
    return true
end

local function whole(message, hint)
    return hint and ("%s (%s)"):format(message, hint) or message
end

--- Says that the call is wrong: recorded while files load, and the call goes on to its next mistake; else raised at the user's line.
---@param message string
---@param hint? string
---@param spot? moongate.Spot
function M.tell(message, hint, spot)
    local level, info = frame()
    if not recorded(info, message, hint, spot) then error(whole(message, hint), level or 0) end
end

--- Raises `message` at the line that called the library. While files load it is recorded, and ends the call alone.
---@param message string
---@param hint? string
---@param spot? moongate.Spot
function M.raise(message, hint, spot)
    local level, info = frame()
    if recorded(info, message, hint, spot) then error(STOP, 0) end
    error(whole(message, hint), level or 0) -- after a tail call nobody is left to point at
end

--- Is something among the arguments, or in a table among them, that stands for what could not be loaded?
local function has_ghost(...)
    for at = 1, select("#", ...) do
        local value = select(at, ...)
        if ghost.is(value) then return true end
        if type(value) == "table" and getmetatable(value) == nil then
            for _, inner in pairs(value) do
                if ghost.is(inner) then return true end
            end
        end
    end
    return false
end

--- Is misuse recorded here, and not raised?
function M.is_recording()
    local now = loading.now
    if not now or not now.recorder then return false end
    local _, info = frame()
    return info ~= nil and now.is_known(M.file_of(info.source)) and not is_caught(now.is_known)
end

--- A function of the public API, of one result, that loading outlives: when it is misused while files load, it gives what `fallback` makes of
--- its arguments.
---@param fn function
---@param fallback? function
---@return function
function M.forgiving(fn, fallback)
    return function(...)
        if not loading.now or not loading.now.recorder then return fn(...) end
        if has_ghost(...) then return fallback and fallback(...) end
        local ok, result = pcall(fn, ...)
        if ok then return result end
        if result == STOP then return fallback and fallback(...) end
        error(result, 0)
    end
end

return M
