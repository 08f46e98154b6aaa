--- The generations that are alive in this worker. Each request carries the number of the routes that it was matched with (`program` of
--- its slot); here is the generation that these belong to. Kept apart so that everybody can ask without knowing how generations are made.
local M = {}

---@class moongate.Living
---@field number integer the master's count
---@field program integer its place in `alive`, given again when it is over
---@field app table
---@field config table
---@field state "candidate"|"serving"|"retiring"|"stopping"|"ending"|"over"
---@field when_alone? fun(generation: moongate.Living) called when the last of its tasks has ended
---@field tasks table<moongate.Task, true> its tasks that have not ended
---@field names table<integer, string[]> names of captures, by route number
---@field limits table<integer, number> longest content, by number of a group; below 0: the default
---@field titles table<integer, string>
---@field places table<integer, string> where routes were written
---@field by_number table<integer, table> routes
---@field filters_of fun(app: table, route: table?): table[] what stands before a route
---@field read? moongate.Snapshot its files as they were loaded, in debug mode

--- By program.
---@type table<integer, moongate.Living>
M.alive = {}

--- Gives a generation the lowest free number.
---@param generation moongate.Living
function M.add(generation)
    local number = 1
    while M.alive[number] do number = number + 1 end
    M.alive[number] = generation
    generation.program = number
end

--- It is over: its number may be given again.
function M.remove(generation)
    if M.alive[generation.program] == generation then M.alive[generation.program] = nil end
end

--- All of them, the oldest first.
---@return moongate.Living[]
function M.list()
    local list = {}
    for _, generation in pairs(M.alive) do list[#list + 1] = generation end
    table.sort(list, function(a, b) return a.number < b.number end)
    return list
end

return M
