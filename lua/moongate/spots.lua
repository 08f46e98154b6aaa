--- Where in a file a mistake is: the line of a call is known, and what was wrong with it; here its argument, its key or its byte is found in
--- the text. In: a file's tree (syntax.lua); out: line, column and the column behind the end, or nothing when the line leaves a choice.
local lexer = require "moongate.lexer"

local M = {}

local function place(tree, at, to)
    local line, column = lexer.position(tree.lines, at)
    local last_line, last = lexer.position(tree.lines, to)
    return line, column, last_line == line and last + 1 or nil
end

--- Calls at a line, of a method or a field, or of a plain name.
local function calls_at(tree, line, name, is_method)
    local found = {}
    for _, call in ipairs(tree.calls) do
        local called = call.method or not is_method and (call.fn.key or call.fn.name)
        if called == name and lexer.position(tree.lines, call.opens) == line then found[#found + 1] = call end
    end
    return found
end

--- Of several calls at one line the one that was given that text.
local function with_value(calls, spot)
    local fit = {}
    for _, call in ipairs(calls) do
        local node = call.args[spot.argument]
        if node and node.value == spot.value then fit[#fit + 1] = call end
    end
    return fit
end

local function call_of(tree, line, spot)
    local calls = calls_at(tree, line, spot.what:match("[%w_]+$"), spot.what:find(":", 1, true) and not spot.about)
    if #calls > 1 and type(spot.value) == "string" then calls = with_value(calls, spot) end
    return #calls == 1 and calls[1] or nil
end

local function item_of(node, key)
    local count = 0
    for _, item in ipairs(node.items) do
        if not item.key then count = count + 1 end
        if item.key and item.key == key or not item.key and count == key then return item end
    end
    return nil
end

--- Follows `servers[2].weight` into a table that is written there. The last node that is found, and its key.
local function within(node, key)
    local at, to = node.at, node.to
    for name, index in key:gmatch("([%a_][%w_]*)%[?(%d*)%]?") do
        local item = node.t == "table" and item_of(node, name)
        if not item then break end
        at, to, node = item.key_at, item.key_to, item.value
        if index ~= "" then
            local inner = node.t == "table" and item_of(node, tonumber(index)) or { value = node }
            node = inner.value
            at, to = node.at, node.to
        end
    end
    return at, to
end

--- A name that stands once at a line, as a global, a field or a method.
---@param tree moongate.Tree
---@param line integer
---@param name string
---@return integer? line
---@return integer? column
---@return integer? end_column
function M.name(tree, line, name)
    local from, to
    for _, nodes in ipairs { tree.globals, tree.fields } do
        for _, node in ipairs(nodes) do
            local at = node.key_at or node.at
            if (node.key or node.name) == name and lexer.position(tree.lines, at) == line then
                if from then return nil end
                from, to = at, node.key_to or node.to
            end
        end
    end
    if from then return place(tree, from, to) end
    return nil
end

--- The last argument of the call that a spot names.
---@return table? node
function M.last(tree, line, spot)
    local call = call_of(tree, line, spot)
    return call and call.args[#call.args]
end

--- The first argument of a plain call that is given that text, at whatever line.
---@return integer? line
---@return integer? column
---@return integer? end_column
function M.argument(tree, name, value)
    for _, call in ipairs(tree.calls) do
        local node = call.args[1]
        if call.fn and call.fn.name == name and node and node.value == value then return place(tree, node.at, node.to) end
    end
    return nil
end

--- The place that a spot names, for a call at a line.
---@param tree moongate.Tree
---@param line integer
---@param spot moongate.Spot
---@return integer? line
---@return integer? column
---@return integer? end_column
---@return boolean? exact the byte that the spot names
function M.find(tree, line, spot)
    if spot.about then return M.name(tree, line, spot.about) end
    local call = spot.what and call_of(tree, line, spot)
    if not call then return nil end
    local argument = spot.argument or 0
    local node = call.args[argument < 0 and #call.args + 1 + argument or argument]
    if not node then
        local from = call.field and call.field.key_at or call.at
        return place(tree, from, call.field and call.field.key_to or call.opens - 1)
    end
    if spot.key then return place(tree, within(node, spot.key)) end
    if spot.byte and node.value then
        local at = math.min(node.at + spot.byte, node.to)
        local at_line, column = place(tree, at, at)
        return at_line, column, column + 1, true
    end
    return place(tree, node.at, node.t == "function" and node.at or node.to)
end

return M
