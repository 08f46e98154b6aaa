--- What is wrong with a configuration, all of it at once: collected while files load and values are checked, then shown as
--- `file:line:column: key: message` with the line itself and a suggestion, or as rows for machines.
local M = {}

---@class moongate.Problem
---@field file string
---@field line? integer
---@field column? integer in bytes, from 1
---@field end_column? integer behind the last byte of what is wrong
---@field key? string
---@field severity? "error"|"warning" an error unless it says otherwise; a warning fails nothing
---@field message string
---@field hint? string
---@field is_raised? boolean an error of Lua's own, whose words are for programs
---@field about? string the name it is about: one mistake with a name is told once for a line

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

--- Is this one mistake, told twice? What is known of a name at a line is one, however it was found out.
local function is_same(a, b)
    if a.file ~= b.file or a.line ~= b.line or a.key ~= b.key then return false end
    if a.column and b.column and a.column ~= b.column then return false end
    return a.message == b.message or a.about ~= nil and a.about == b.about
end

--- Adds one problem. The same one is kept once, with the place that is more exact.
---@param problem moongate.Problem
function List:add(problem)
    for at, other in ipairs(self) do
        if is_same(other, problem) then
            if not other.column and problem.column or other.is_raised and problem.column then self[at] = problem end
            return
        end
    end
    self[#self + 1] = problem
end

--- How many there are of a severity.
---@param severity? "error"|"warning" errors unless told
---@return integer
function List:count(severity)
    local count = 0
    for _, problem in ipairs(self) do
        if (problem.severity or "error") == (severity or "error") then count = count + 1 end
    end
    return count
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
    local blank = line:sub(1, problem.column - 1):gsub("[\128-\191]", ""):gsub("[^\t]", " ")
    local last = math.min(problem.end_column or 0, #line + 1) - 1
    local marked = line:sub(problem.column, math.max(last, problem.column)):gsub("[\128-\191]", "")
    return ("%s%s | %s%s\n"):format(shown, (" "):rep(#number), blank, ("^"):rep(math.max(#marked, 1)))
end

local function headline(problem)
    local place = problem.file
    if problem.line then place = place .. ":" .. problem.line end
    if problem.line and problem.column then place = place .. ":" .. problem.column end
    local key = problem.key and problem.key ~= "" and problem.key .. ": " or ""
    local mark = problem.severity == "warning" and "warning: " or ""
    return ("%s: %s%s%s\n"):format(place, mark, key, problem.message)
end

--- In the order of the files as they came up, then by line and column; what is wrong with a whole file comes after.
local function sorted(list)
    local rank, rows = {}, {}
    for at, problem in ipairs(list) do
        rank[problem.file] = rank[problem.file] or at
        rows[at] = { problem = problem, at = at }
    end
    table.sort(rows, function(a, b)
        local pa, pb = a.problem, b.problem
        if pa.file ~= pb.file then return rank[pa.file] < rank[pb.file] end
        if pa.line ~= pb.line then return (pa.line or math.huge) < (pb.line or math.huge) end
        if (pa.column or 0) ~= (pb.column or 0) then return (pa.column or 0) < (pb.column or 0) end
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
            file = problem.file, line = problem.line, column = problem.column, end_column = problem.end_column,
            key = problem.key, severity = problem.severity or "error", message = problem.message, hint = problem.hint,
        }
    end
    return rows
end

return M
