--- What stands for a value that could not be made while files load, because of a mistake that is told already: a module that does not
--- compile, a name that is not there. It can be indexed, called and computed with, and is always itself, so that the rest of the file is
--- looked at, too. Nothing that has a ghost in it is taken into service.
local loading = require "moongate.loading"

local M = {}

local CALLS_MAX = 1000 -- a loop over a ghost would never end

local Ghost = {}
local the = setmetatable({}, Ghost)

local function itself() return the end

for name in ("index add sub mul div mod pow unm concat"):gmatch("%l+") do Ghost["__" .. name] = itself end
for name in ("eq lt le"):gmatch("%l+") do Ghost["__" .. name] = function() return false end end
Ghost.__newindex = function() end
Ghost.__tostring = function() return "a value that could not be loaded" end
Ghost.__call = function()
    local now = loading.now or {}
    now.ghosts = (now.ghosts or 0) + 1
    if now.ghosts > CALLS_MAX then error(M.ENOUGH, 0) end
    return the
end

--- Raised when something calls a ghost again and again.
M.ENOUGH = setmetatable({}, { __tostring = function() return "too many calls of what could not be loaded" end })

--- The ghost.
function M.get()
    if loading.now then loading.now.ghosts = 0 end
    return the
end

--- Was one given by the present loading? Type errors after that may be its doing.
---@return boolean
function M.is_given()
    return loading.now and loading.now.ghosts ~= nil
end

function M.is(value) return rawequal(value, the) end

return M
