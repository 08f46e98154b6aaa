--- `mg.re`: patterns of PCRE2, compiled to machine code once and kept. In: a subject, a pattern and options as letters; out: captures. A match that
--- would take for ever is given up after a million steps: nil, message, "limit". A pattern that is none is misuse and raises.
---
--- Options: "i" any case, "m" ^ and $ at each line, "s" the dot takes line ends, "x" blanks and # comments in the pattern mean nothing, "u" UTF-8,
--- "a" only where it is looked for.
local ffi = require "ffi"
local abi = require "moongate.abi"
local caller = require "moongate.caller"

local M = {}

local C = abi.C
local sub = string.sub
local KEPT = 256 -- compiled patterns in each of two halves: those asked for, and those that go next

local LETTERS = {
    i = C.MG_REGEX_CASELESS, m = C.MG_REGEX_MULTILINE, s = C.MG_REGEX_DOTALL, x = C.MG_REGEX_EXTENDED, u = C.MG_REGEX_UTF, a = C.MG_REGEX_ANCHORED,
}

local message, at = ffi.new("char[256]"), ffi.new("uint32_t[1]")

---@class moongate.Regex
---@field handle ffi.cdata*
---@field groups integer
---@field names { name: string, group: integer }[]
---@field utf boolean

local function options_of(what, letters)
    local options = 0
    for letter in letters:gmatch(".") do
        local option = LETTERS[letter]
        if not option then caller.raise(("%s: no such option: %q; there are i, m, s, x, u and a"):format(what, letter)) end
        options = bit.bor(options, tonumber(option))
    end
    return options
end

local function compile(what, pattern, letters)
    if type(pattern) ~= "string" then caller.raise(("%s: expected a pattern, a string, got %s"):format(what, type(pattern))) end
    local handle = C.mg_regex_new(pattern, #pattern, options_of(what, letters), message, 256, at)
    if handle == nil then caller.raise(("%s: pattern %q: byte %d: %s"):format(what, pattern, at[0] + 1, ffi.string(message))) end
    handle = ffi.gc(handle, C.mg_regex_free)
    local made = { handle = handle, groups = C.mg_regex_groups(handle), names = {}, utf = letters:find("u", 1, true) ~= nil }
    while true do
        local name = C.mg_regex_name(handle, #made.names, at)
        if name == nil then return made end
        made.names[#made.names + 1] = { name = ffi.string(name), group = at[0] }
    end
end

local young, old, young_count = {}, {}, 0

--- The compiled pattern; what was not asked for lately is forgotten.
---@return moongate.Regex
local function regex_of(what, pattern, letters)
    letters = letters or ""
    local of_letters = young[letters]
    local found = of_letters and of_letters[pattern]
    if found then return found end
    found = old[letters] and old[letters][pattern] or compile(what, pattern, letters)
    if young_count == KEPT then young, old, young_count = {}, young, 0 end
    young[letters] = young[letters] or {}
    young[letters][pattern] = found
    young_count = young_count + 1
    return found
end

local FAILURES = {
    [-7] = { "the match takes more than a million steps: the pattern may go wrong ways again and again", "limit" },
    [-84] = { "the text is not UTF-8", "utf-8" },
}

local function failed(code)
    local known = FAILURES[code] or { "the match failed", "match" }
    return nil, known[1], known[2]
end

local function check_subject(what, subject)
    if type(subject) ~= "string" then caller.raise(("%s: expected a text, a string, got %s"):format(what, type(subject))) end
end

--- What a group of the last match has; false: it takes no part.
local function group_of(handle, subject, group)
    local from = C.mg_regex_from(handle, group)
    if from == 4294967295 then return false end
    return sub(subject, from + 1, C.mg_regex_to(handle, group))
end

---@return table<integer|string, string|false> captures
local function captures_of(regex, subject)
    local handle = regex.handle
    local captures = { [0] = group_of(handle, subject, 0) }
    for group = 1, regex.groups do captures[group] = group_of(handle, subject, group) end
    for _, named in ipairs(regex.names) do captures[named.name] = captures[named.name] or captures[named.group] end
    return captures
end

--- The compiled pattern, and how many groups took part: 0 when it is not there, negative when that could not be found out.
local function search(what, subject, pattern, options, from)
    check_subject(what, subject)
    local regex = regex_of(what, pattern, options)
    from = from or 1
    if from < 1 or from > #subject + 1 then return regex, 0 end
    return regex, C.mg_regex_match(regex.handle, subject, #subject, from - 1, 0)
end

--- Looks for a pattern: its captures, [0] is all of it, then by number and by name, false for groups that take no part; nil: not there.
---@param subject string
---@param pattern string
---@param options? string letters
---@param from? integer byte to begin at, 1 unless told
---@return table<integer|string, string|false>? captures
---@return string? message
---@return string? code
function M.match(subject, pattern, options, from)
    local regex, count = search("mg.re.match", subject, pattern, options, from)
    if count > 0 then return captures_of(regex, subject) end
    if count < 0 then return failed(count) end
    return nil
end

--- Where a pattern is: its first and last byte; nil: not there.
---@param subject string
---@param pattern string
---@param options? string
---@param from? integer
---@return integer? first
---@return integer|string|nil last
---@return string? code
function M.find(subject, pattern, options, from)
    local regex, count = search("mg.re.find", subject, pattern, options, from)
    if count > 0 then return C.mg_regex_from(regex.handle, 0) + 1, C.mg_regex_to(regex.handle, 0) end
    if count < 0 then return failed(count) end
    return nil
end

--- The byte behind the character at `at`, from 0.
local function next_character(regex, subject, byte_at)
    byte_at = byte_at + 1
    while regex.utf and byte_at < #subject and bit.band(subject:byte(byte_at + 1), 0xc0) == 0x80 do byte_at = byte_at + 1 end
    return byte_at
end

--- The next match from `from` (0-based) on, behind an empty one when `was_empty`: first byte and the byte behind; nil: none; nil, code.
local function next_match(regex, subject, from, was_empty)
    if from > #subject then return nil end
    if was_empty then
        local count = C.mg_regex_match(regex.handle, subject, #subject, from, C.MG_REGEX_NOT_EMPTY_HERE)
        if count < 0 then return nil, count end
        if count > 0 then return C.mg_regex_from(regex.handle, 0), C.mg_regex_to(regex.handle, 0) end
        from = next_character(regex, subject, from)
        if from > #subject then return nil end
    end
    local count = C.mg_regex_match(regex.handle, subject, #subject, from, 0)
    if count < 0 then return nil, count end
    if count == 0 then return nil end
    return C.mg_regex_from(regex.handle, 0), math.max(C.mg_regex_to(regex.handle, 0), C.mg_regex_from(regex.handle, 0))
end

--- An iterator over all matches: the captures of each. Raises when a match takes too long.
---@param subject string
---@param pattern string
---@param options? string
---@return fun(): table<integer|string, string|false>?
function M.gmatch(subject, pattern, options)
    check_subject("mg.re.gmatch", subject)
    local regex = regex_of("mg.re.gmatch", pattern, options)
    local at_byte, was_empty = 0, false
    return function()
        local from, to = next_match(regex, subject, at_byte, was_empty)
        if not from then
            if to then error((select(2, failed(to))), 2) end
            at_byte = #subject + 1
            return nil
        end
        at_byte, was_empty = to, from == to
        return captures_of(regex, subject)
    end
end

--- "$1", "${name}", "$0" and "$$" in a replacement, as a function of captures.
local function template(what, text)
    if not text:find("$", 1, true) then return function() return text end end
    local function of(captures, key)
        local value = captures[tonumber(key) or key]
        if value == nil then caller.raise(("%s: replacement: there is no group %q"):format(what, key)) end
        return value or ""
    end
    return function(captures)
        return (text:gsub("%$([%$%d{]?)([%w_]*)(}?)", function(mark, word, brace)
            if mark == "$" then return "$" .. word .. brace end
            if mark == "{" and brace == "}" then return of(captures, word) end
            if mark:match("%d") then
                local digits = word:match("^%d*")
                return of(captures, mark .. digits) .. word:sub(#digits + 1) .. brace
            end
            return caller.raise(what .. ': replacement: "$" stands before a number, a name in braces or another "$"')
        end))
    end
end

local function replacer(what, replacement)
    if type(replacement) == "string" then return template(what, replacement) end
    if type(replacement) == "function" then return replacement end
    if type(replacement) == "table" then
        return function(captures) return replacement[captures[1] or captures[0]] end
    end
    return caller.raise(("%s: expected a string, function or table as replacement, got %s"):format(what, type(replacement)))
end

local function replace(what, subject, pattern, replacement, options, most)
    check_subject(what, subject)
    local regex, made = regex_of(what, pattern, options), replacer(what, replacement)
    local pieces, count, at_byte, done, was_empty = {}, 0, 0, 0, false
    while count < most do
        local from, to = next_match(regex, subject, at_byte, was_empty)
        if not from then
            if to then return failed(to) end
            break
        end
        local captures = captures_of(regex, subject)
        local value = made(captures)
        pieces[#pieces + 1] = sub(subject, done + 1, from)
        pieces[#pieces + 1] = value == nil and captures[0] or tostring(value or captures[0])
        count, at_byte, done, was_empty = count + 1, to, to, from == to
    end
    pieces[#pieces + 1] = sub(subject, done + 1)
    return table.concat(pieces), count
end

--- Replaces all matches: the new text and how many. The replacement is text with "$1", "${name}", "$0" and "$$"; a function of the captures; or a
--- table asked for the first capture. What these do not have stays.
---@param subject string
---@param pattern string
---@param replacement string|table|fun(captures: table): any
---@param options? string
---@param most? integer
---@return string? text
---@return integer|string count
---@return string? code
function M.gsub(subject, pattern, replacement, options, most)
    return replace("mg.re.gsub", subject, pattern, replacement, options, most or math.huge)
end

--- Replaces the first match, as gsub().
---@param subject string
---@param pattern string
---@param replacement string|table|fun(captures: table): any
---@param options? string
function M.sub(subject, pattern, replacement, options)
    return replace("mg.re.sub", subject, pattern, replacement, options, 1)
end

--- The pieces between matches, at most so many; empty matches part characters.
---@param subject string
---@param pattern string
---@param options? string
---@param most? integer
---@return string[]? pieces
---@return string? message
---@return string? code
function M.split(subject, pattern, options, most)
    check_subject("mg.re.split", subject)
    local regex = regex_of("mg.re.split", pattern, options)
    local pieces, at_byte, done, was_empty = {}, 0, 0, false
    while #pieces + 1 < (most or math.huge) do
        local from, to = next_match(regex, subject, at_byte, was_empty)
        if not from and to then return failed(to) end
        if not from or from == #subject and from == to then break end
        if to > 0 then -- not an empty match before the first character
            pieces[#pieces + 1] = sub(subject, done + 1, from)
            done = to
        end
        at_byte, was_empty = to, from == to
    end
    pieces[#pieces + 1] = sub(subject, done + 1)
    return pieces
end

--- Text as a pattern that matches it.
---@param text string
---@return string
function M.escape(text)
    check_subject("mg.re.escape", text)
    return (text:gsub("[^%w_\128-\255]", "\\%0"))
end

return M
