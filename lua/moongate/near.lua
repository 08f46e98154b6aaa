--- Which routes were probably meant by a path that nothing fits: compared segment by segment, a capture takes any. In: routes and a path;
--- out: the nearest, the best first. Bounded, so that a stranger's path costs little.
local schema = require "moongate.schema"

local M = {}

local PATH_MAX, ROUTES_MAX, SEGMENT_MAX = 256, 2000, 40
local MISSING = 1 -- a segment more or less; wrong letters count up to 1 for a whole segment
local FAR = 1.2   -- what is farther away was not meant
local ALIKE = 0.6 -- a segment that is nearer is like the other

local function segments(text)
    local list = {}
    for segment in text:gmatch("[^/]+") do list[#list + 1] = segment:sub(1, SEGMENT_MAX) end
    return list
end

--- From 0, the same or captured, to 1, nothing alike.
local function unlike(given, own)
    local first = own:byte()
    if first == 58 then return 0.05 end -- ":": what is written out is nearer
    if given == own then return 0 end
    return math.min(1, schema.distance(given:lower(), own:lower()) / math.max(#given, #own) + 0.05)
end

--- How far a pattern is from a path's segments; nil: nothing that is written out in it is like the path, which says nothing.
local function distance(path, pattern)
    local own, sum, is_like = segments(pattern), 0, false
    for at = 1, math.max(#path, #own) do
        if own[at] and own[at]:byte() == 42 then -- "*" takes the rest
            sum = sum + 0.1
            break
        end
        local far = path[at] and own[at] and unlike(path[at], own[at]) or MISSING
        sum = sum + far
        is_like = is_like or far < ALIKE and own[at]:byte() ~= 58
    end
    return is_like and sum or nil
end

--- The nearest routes, at most `most`, each pattern once.
---@param routes { pattern: string }[]
---@param path string
---@param most integer
---@return table[] routes
function M.routes(routes, path, most)
    local found, seen, given = {}, {}, segments(path:sub(1, PATH_MAX))
    for at = 1, math.min(#routes, ROUTES_MAX) do
        local route = routes[at]
        local far = not seen[route.pattern] and distance(given, route.pattern)
        seen[route.pattern] = true
        if far and far <= FAR then found[#found + 1] = { route = route, far = far, at = at } end
    end
    table.sort(found, function(a, b) return a.far < b.far or a.far == b.far and a.at < b.at end)
    local list = {}
    for at = 1, math.min(#found, most) do list[at] = found[at].route end
    return list
end

return M
