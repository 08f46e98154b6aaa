--- What to write instead, when LuaJIT cannot compile a file: for the habits of other languages, and for what beginners leave out.
--- In: the message of the compiler and the line it names; out: a sentence, or nil.
local M = {}

--- A line without its strings and its comment: what is left is code.
local function bare(line)
    return (line:gsub("\\.", "  "):gsub('"[^"]*"', '""'):gsub("'[^']*'", "''"):gsub("%-%-.*$", ""))
end

--- By the line: { pattern, hint }.
local HABITS = {
    { "!=", "not equal is written ~=" },
    { "&&", "write and" },
    { "||", "write or" },
    { "![%w_(]", "write not" },
    { "[%w_%])]%s*[%+%-*/%.]=[^=]", "write the name again: count = count + 1" },
    { "%+%+", "write count = count + 1" },
    { "=>", "a function is written function(req) … end" },
    { "^%s*let%s", "write local" }, { "^%s*const%s", "write local" }, { "^%s*var%s", "write local" },
    { "%)%s*{%s*$", "a block is opened by then or do, or by the brackets of a function, and closed by end" },
    { "^%s*}?%s*else%s*{", "a block is opened by then or do, and closed by end" },
    { "^%s*//", "a comment begins with --" }, { "^%s*/%*", "a comment begins with --" }, { "^%s*#", "a comment begins with --" },
    { "^%s*def%s", "a function is written local function name(…) … end" }, { "^%s*fn%s", "a function is written local function name(…) … end" },
    { "^%s*import%s", 'write local name = require "name"' }, { "^%s*from%s+%S+%s+import%s", 'write local name = require "name"' },
    { "^%s*try%s*", "write local ok, result = pcall(fn)" },
    { "%f[%w_]elif%f[^%w_]", "write elseif" }, { "%f[%w_]elsif%f[^%w_]", "write elseif" },
    { "^%s*[%a_][%w_]*:%s", "a setting is written name = value" },
    { "`", "text stands in quotes, or in [[ … ]] when it has several lines" },
    { "%?[^:]*:", "write condition and yes or no" },
}

--- By the message of the compiler: { pattern, hint }.
local MESSAGES = {
    { "^'then' expected near '='", "a comparison is written ==" },
    { "near '%->'", "a field is written with a dot, a method with a colon" },
    { "^'}' expected .*near ':'", 'in a table a key is written name = value, or ["name"] = value' },
    { "^'}' expected .*near '='", "a key that is no plain name is written [\"name\"] = value" },
    { "^'}' expected", "entries of a table are separated by commas: one is missing before this, or the closing }" },
    { "^'%)' expected", "arguments are separated by commas, and closed by a bracket: one of them is missing before this" },
    { "^unfinished string", "the string is not closed at its line; text of several lines stands in [[ … ]]" },
    { "^unfinished long", "the long string or comment is not closed by ]]" },
    { "^'do' expected", "a loop is written while … do … end, or for … do … end" },
    { "^'then' expected", "a condition is written if … then … end" },
    { "^'<eof>' expected near 'end'", "there is one end too many" },
    { "^'<eof>' expected", "return is the last statement of its block" },
    { "^'=' expected", "a statement is a call or an assignment" },
    { "^unexpected symbol near '<eof>'", "the file ends in the middle of a statement" },
    { "^invalid escape sequence", "a backslash is written twice" },
    { "^malformed number", "a name begins with a letter; durations and sizes are text, as in \"10s\"" },
}

local function first(rows, text)
    for _, row in ipairs(rows) do
        if text:match(row[1]) then return row[2] end
    end
    return nil
end

--- A return that is followed by something in its block.
local function after_return(message, before)
    local follows = message:match("^'end' expected .*near '[%w_]+'$") and before:match("^%s*return%f[%W]")
    return follows and "return is the last statement of its block: is an end missing before this line?" or nil
end

local ELSE_IF = "`else if` opens another if, with an end of its own: write elseif"

--- What to do about a message of the compiler.
---@param message string without its place
---@param line string the line it names
---@param before string the line before
---@param text string the whole file
---@return string? hint
function M.hint(message, line, before, text)
    if line == "" then return nil end
    local habit = first(HABITS, bare(line))
    local lacks_end = message:match("^'end' expected") or message:match("near '%)'$") or message:match("near '<eof>'$")
    if not habit and lacks_end and text:match("%f[%w]else%s+if%f[%W]") then return ELSE_IF end
    return habit or after_return(message, before) or first(HABITS, bare(before):match("%S") and message:match("near '[^%w]")
        and bare(before) or "") or first(MESSAGES, message)
end

--- A block that is never closed is told where it opens: its line, its word and a message; or nil when it is something else.
---@param message string
---@return integer? line
---@return string? word
---@return string? message
function M.unclosed(message)
    local closer, word, line = message:match("^'(.-)' expected %(to close '(.-)' at line (%d+)%) near '<eof>'$")
    if not closer then return nil end
    return tonumber(line), word, ("this %s is never closed: the file ends before its %s"):format(word, closer)
end

return M
