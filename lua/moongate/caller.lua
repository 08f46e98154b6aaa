--- Who called the library: the nearest frame of the stack that is not one of Moongate's own modules. Names places as
--- `site.lua:14` and raises misuse there, however deep the call went inside the library. Used while loading only.
local M = {}

local own_prefix = debug.getinfo(1, "S").source:match("^(.*)caller%.lua$")

--- Is this chunk one of ours? It lies beside this module and is loaded under the library's name.
local function is_ours(source)
    if source:sub(1, #own_prefix) ~= own_prefix then return false end
    local name = source:sub(#own_prefix + 1):match("^([%w_]+)%.lua$")
    return name ~= nil and (name == "caller" or name == "init" or package.loaded["moongate." .. name] ~= nil)
end

--- The level of the user's frame, as error() counts it in the function that asks, and its debug record.
local function frame()
    local level = 3
    while true do
        local info = debug.getinfo(level, "Sl")
        if not info then return nil end
        if info.what ~= "C" and not is_ours(info.source) then return level - 1, info end
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

--- Raises `message` at the line that called the library.
---@param message string
function M.raise(message)
    error(message, frame() or 1)
end

return M
