--- Content that filters change piece by piece (`res:map(fn)`). A map is `fn(piece, is_end)`: it returns what is sent instead, nil for nothing.
--- After the last piece it is called once more with "" and true, for what it has kept. Maps of several filters follow one another, the
--- innermost first.
local fetched = require "moongate.fetched"

local M = {}

--- Through the maps from `at` on: what comes out; nil for nothing.
local function through(maps, at, piece)
    for place = at, #maps do
        piece = maps[place](piece, false)
        if piece == nil or piece == "" then return nil end
        if type(piece) ~= "string" then error(("res:map: expected the function to return a string or nil, got %s"):format(type(piece)), 0) end
    end
    return piece
end

--- What the maps have kept, in the order that it is sent.
local function rest(maps, write)
    for at = 1, #maps do
        local kept = maps[at]("", true)
        if kept ~= nil and type(kept) ~= "string" then
            error(("res:map: expected the function to return a string or nil at the end, got %s"):format(type(kept)), 0)
        end
        local piece = kept and kept ~= "" and through(maps, at + 1, kept)
        if piece then write(piece) end
    end
end

--- Content that is whole.
---@param maps function[]
---@param text string
---@return string
function M.whole(maps, text)
    local pieces = {}
    local function add(piece) pieces[#pieces + 1] = piece end
    local piece = text ~= "" and through(maps, 1, text)
    if piece then add(piece) end
    rest(maps, add)
    return table.concat(pieces)
end

--- Has a writer's pieces go through the maps. Call what it returns behind the last one.
---@param writer moongate.Out
---@param maps function[]
---@return fun() finish
function M.attach(writer, maps)
    local write = writer.write
    function writer.write(self, text)
        local piece = through(maps, 1, type(text) == "number" and tostring(text) or text)
        if not piece then return true end
        return write(self, piece)
    end
    return function()
        rest(maps, function(piece) write(writer, piece) end)
    end
end

--- The rest of a response to a writer. What is broken raises, so that the client can tell.
---@param response moongate.Fetched
---@param writer moongate.Out
function M.pump(response, writer)
    while true do
        local piece, message, code = fetched.next_piece(response)
        if not piece then
            if code then error({ status = type(code) == "number" and code or 502, message = message }, 0) end
            return
        end
        if not writer:write(piece) then return fetched.let_go(response) end
    end
end

return M
