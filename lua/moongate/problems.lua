--- What is wrong with a configuration, all of it at once: collected while files load and values are checked, then shown as
--- `file:line:column: key: message` with the line itself and a suggestion, or as rows for machines.
local M = {}

---@class moongate.Problem
---@field file string
---@field line? integer
---@field column? integer in bytes, from 1
---@field key? string
---@field message string
---@field hint? string

local List = {}
List.__index = List

--- An empty list.
function M.new()
    return setmetatable({ sources = {} }, List)
end

--- Remembers the text of a file, so that excerpts show what was judged and not what is on disk by now.
function List:source(file, text)
    self.sources[file] = text
end

--- Adds one problem. The same one is kept once.
---@param problem moongate.Problem
function List:add(problem)
    for _, other in ipairs(self) do
        if other.file == problem.file and other.line == problem.line and other.key == problem.key
            and other.message == problem.message then
            return
        end
    end
    self[#self + 1] = problem
end

--- Adds one problem at a place written "file:line"; a place without a line is a file.
function List:add_at(where, message, hint)
    local file, line = where:match("^(.*):(%d+)$")
    self:add { file = file or where, line = tonumber(line), message = message, hint = hint }
end

local function line_of(text, number)
    local at = 1
    for _ = 2, number do
        at = text:find("\n", at, true)
        if not at then return nil end
        at = at + 1
    end
    return (text:match("^[^\r\n]*", at))
end

--- The line and a caret below the column. Tabs are kept, so that the caret stands where the eye expects it.
local function excerpt(list, problem)
    local text = problem.line and list.sources[problem.file]
    local line = text and line_of(text, problem.line)
    if not line or line:match("^%s*$") then return "" end
    local number = ("%5d"):format(problem.line)
    local shown = ("%s | %s\n"):format(number, line)
    if not problem.column then return shown end
    local blank = line:sub(1, problem.column - 1):gsub("[^\t]", " ")
    return ("%s%s | %s^\n"):format(shown, (" "):rep(#number), blank)
end

local function headline(problem)
    local place = problem.file
    if problem.line then place = place .. ":" .. problem.line end
    if problem.line and problem.column then place = place .. ":" .. problem.column end
    local key = problem.key and problem.key ~= "" and problem.key .. ": " or ""
    return ("%s: %s%s\n"):format(place, key, problem.message)
end

--- In the order of the files as they came up, then by line.
local function sorted(list)
    local rank, rows = {}, {}
    for at, problem in ipairs(list) do
        rank[problem.file] = rank[problem.file] or at
        rows[at] = { problem = problem, at = at }
    end
    table.sort(rows, function(a, b)
        local pa, pb = a.problem, b.problem
        if pa.file ~= pb.file then return rank[pa.file] < rank[pb.file] end
        if (pa.line or 0) ~= (pb.line or 0) then return (pa.line or 0) < (pb.line or 0) end
        return a.at < b.at
    end)
    for at, row in ipairs(rows) do rows[at] = row.problem end
    return rows
end

--- For people.
---@return string
function List:text()
    local parts = {}
    for _, problem in ipairs(sorted(self)) do
        parts[#parts + 1] = headline(problem) .. excerpt(self, problem)
        if problem.hint then parts[#parts + 1] = "      = " .. problem.hint .. "\n" end
    end
    return table.concat(parts)
end

--- For machines: plain tables in the same order.
---@return moongate.Problem[]
function List:rows()
    local rows = {}
    for at, problem in ipairs(sorted(self)) do
        rows[at] = {
            file = problem.file, line = problem.line, column = problem.column,
            key = problem.key, message = problem.message, hint = problem.hint,
        }
    end
    return rows
end

return M
