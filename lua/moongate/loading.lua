--- What is so while files load, and only for the code that loads them: mistakes are recorded, extensions gathered, tasks kept for the
--- generation to come. A worker loads a generation beside the one that serves, and lets that go on between two calls of the library: then
--- nothing loads, as far as anybody can tell.
local M = {}

---@class moongate.Loading
---@field owner? moongate.Living|false the generation that is made: tasks that begin now are its own
---@field held? moongate.Task[] those, when they are to begin when all is loaded
---@field rest? fun() lets others run when it is time to
---@field recorder? function takes misuse (caller.lua)
---@field is_known? fun(file: string): boolean
---@field gathered? table what was said for all apps (app.lua)
---@field ghosts? integer calls of what stands for a missing value; nil: none was given (ghost.lua)

--- The loading whose code runs; false: none.
---@type moongate.Loading|false
M.now = false

--- Begins one, whose fields are these.
---@param fields? moongate.Loading
---@return moongate.Loading
function M.begin(fields)
    M.now = fields or {}
    return M.now
end

--- It is over.
function M.finish()
    M.now = false
end

--- Called again and again by whatever has much to do while files load.
function M.pause()
    local now = M.now
    if not now or not now.rest then return end
    M.now = false
    now.rest()
    M.now = now
end

return M
