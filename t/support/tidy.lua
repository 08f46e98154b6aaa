--- The rules of the house as functions: each takes a path and the file's text and returns a list of sentences, one per fault.
--- t/tidy_spec.lua runs them over the tree, and over wrong samples to show that they see.
local M = {}

local LAYERS = { base = 0, net = 1, http = 1, route = 1, dict = 1, file = 2, proxy = 2, gate = 3, abi = 4, proc = 5, ["main.c"] = 6 }
-- Plain data of the gate: all that the processes may know of it.
local GATE_DATA = { ["gate/stats.h"] = true, ["gate/settings.h"] = true, ["gate/settings.tbl.h"] = true, ["gate/control.h"] = true }
local FILE_LINES_MAX, HEADER_LINES_MAX, FUNCTION_LINES_MAX = 600, 150, 110
local LINE_COLUMNS_MAX = 160
-- Watched: longer than others, each with a bound of its own. The border is one text by design; a room's private header is shared by
-- its files only.
local LONG_HEADERS = { ["src/abi/moongate.h"] = 250, ["src/gate/gate.h"] = 250, ["src/net/internal.h"] = 180, ["src/proc/instance.h"] = 170 }

local function lines_of(text) return (text .. (text:sub(-1) == "\n" and "" or "\n")):gmatch("(.-)\n") end

--- Includes: only downwards in DESIGN's graph, or within the room.
function M.includes(path, text)
    local faults = {}
    local room = path:match("^src/([^/]+)")
    local layer = LAYERS[room]
    if not layer then return { ("%s: no room called %q"):format(path, room or "") } end
    for target in text:gmatch('#%s*include%s+"([^"]+)"') do
        local other = target:match("^([^/]+)/")
        local below = LAYERS[other]
        if not below then
            faults[#faults + 1] = ("%s: include %q is not rooted at src/"):format(path, target)
        elseif other ~= room and below >= layer then
            faults[#faults + 1] = ("%s: %s may not include %s"):format(path, room, target)
        elseif other == "gate" and layer > LAYERS.abi and not GATE_DATA[target] then
            faults[#faults + 1] = ("%s: of the gate, %s may include plain data only, not %s"):format(path, room, target)
        end
    end
    return faults
end

--- What interrupts scripts.
local LUA_HOOKS = { ["src/abi/overrun.c"] = true, ["src/abi/memory.c"] = true, ["src/abi/script.c"] = true }

--- Libraries that one room keeps to itself.
function M.private_libraries(path, text)
    local faults = {}
    for library in text:gmatch("#%s*include%s+<([^>]+)>") do
        if library == "liburing.h" and not path:match("^src/net/") then
            faults[#faults + 1] = ("%s: liburing.h is for src/net alone"):format(path)
        elseif (library:match("lua%.h$") or library:match("lauxlib%.h$") or library:match("lualib%.h$") or library:match("luajit%.h$"))
            and path ~= "src/abi/vm.c" and not LUA_HOOKS[path] then
            faults[#faults + 1] = ("%s: %s is for src/abi/vm.c and the hooks beside it alone"):format(path, library)
        end
    end
    return faults
end

local function count_lines(text)
    local _, count = text:gsub("\n", "\n")
    return count
end

--- Files: 600 lines, headers 150.
function M.file_size(path, text)
    local is_header = path:match("%.h$") and not path:match("%.inl%.h$") and not path:match("%.tbl%.h$")
    local most = LONG_HEADERS[path] or is_header and HEADER_LINES_MAX or FILE_LINES_MAX
    local count = count_lines(text)
    if count <= most then return {} end
    return { ("%s: %d lines, at most %d"):format(path, count, most) }
end

--- Functions by the house's format: in C the braces of a function stand in the first column; in Lua the words do.
local function function_bounds(path)
    if path:match("%.lua$") then
        return function(line) return line:match("^local function ([%w_]+)") or line:match("^function ([%w_.:]+)") end, "^end"
    end
    return function(line, before) return line == "{" and (before:match("([%w_]+)%(") or before) end, "^}"
end

--- Functions: 110 lines.
function M.function_size(path, text)
    local faults, begins, closing = {}, function_bounds(path)
    local name, from, number, before = nil, 0, 0, ""
    for line in lines_of(text) do
        number = number + 1
        local started = begins(line, before)
        if started then name, from = started, number end
        if name and line:match(closing) then
            if number - from + 1 > FUNCTION_LINES_MAX then
                faults[#faults + 1] = ("%s: %s has %d lines, at most %d"):format(path, name, number - from + 1, FUNCTION_LINES_MAX)
            end
            name = nil
        end
        if line:match("%S") and not line:match("^%s") then before = line end
    end
    return faults
end

--- No tabs, no blanks at the end of a line, no endless lines (but for the data in specs), a line end at the end of the file.
function M.whitespace(path, text)
    local faults, number = {}, 0
    for line in lines_of(text) do
        number = number + 1
        if line:find("\t", 1, true) and not path:match("Makefile$") then
            faults[#faults + 1] = ("%s:%d: a tab"):format(path, number)
        end
        if line:match("%s$") then faults[#faults + 1] = ("%s:%d: blanks at the end"):format(path, number) end
        if #line > LINE_COLUMNS_MAX and not path:match("_spec%.lua$") then faults[#faults + 1] = ("%s:%d: %d columns"):format(path, number, #line) end
    end
    if text:sub(-1) ~= "\n" then faults[#faults + 1] = path .. ": no line end at its end" end
    return faults
end

--- A file of C or Lua opens with a paragraph that says what it is; a header is included once.
function M.opening(path, text)
    local faults = {}
    local opens = text:gsub("^#![^\n]*\n", ""):sub(1, 3)
    if path:match("%.lua$") and opens ~= "---" then faults[1] = path .. ": does not open with a --- comment" end
    if path:match("%.[ch]$") and opens:sub(1, 2) ~= "/*" then faults[1] = path .. ": does not open with a comment" end
    local is_once = path:match("%.h$") and not path:match("%.tbl%.h$") and not path:match("%.inl%.h$")
    if is_once and not text:find("#pragma once", 1, true) then
        faults[#faults + 1] = path .. ": no #pragma once"
    end
    return faults
end

--- What LuaJIT's C parser must be able to read: no bodies, no constants by #define, no C11 words; what stands between
--- `#ifndef MG_CDEF` and `#endif` is not read, nor are x.inl.h and x.tbl.h. Macros with arguments are no constants.
function M.plain_header(path, text)
    local faults = {}
    local code = text:gsub("/%*.-%*/", ""):gsub("__attribute__%s*%b()", ""):gsub("#%s*ifndef MG_CDEF.-\n#%s*endif", "")
    for _, word in ipairs { "_Static_assert", "_Atomic", "typeof", "static inline" } do
        if code:find(word, 1, true) then faults[#faults + 1] = ("%s: %s in a plain header"):format(path, word) end
    end
    for name in ("\n" .. code):gmatch("\n#%s*define%s+([%w_]+)[ \t]+%S") do
        faults[#faults + 1] = ("%s: #define %s in a plain header: use an enum"):format(path, name)
    end
    return faults
end

--- The tree holds what is done, and speaks of itself alone. The words are put together here so that this file does not hold them.
local UNFINISHED = { "TO" .. "DO", "FIX" .. "ME", "XX" .. "X", "HA" .. "CK" }
local FOREIGN = {
    "/work" .. "/main", "/work" .. "/shared", "/work" .. "/%.", "debian" .. "%.org", "ubuntu" .. "%.com", "npm" .. "js",
    "luarocks" .. "%.org", "pypi" .. "%.org", "crates" .. "%.io", "[Aa]nthr" .. "opic", "[Cc]lau" .. "de%f[%A]", "Chat" .. "GPT",
}
function M.words(path, text)
    local faults, number = {}, 0
    for line in lines_of(text) do
        number = number + 1
        for _, word in ipairs(UNFINISHED) do
            if line:find("%f[%w_]" .. word .. "%f[^%w_]") then faults[#faults + 1] = ("%s:%d: %s"):format(path, number, word) end
        end
        for _, word in ipairs(FOREIGN) do
            local found = line:match(word)
            if found then faults[#faults + 1] = ("%s:%d: %q has no place here"):format(path, number, found) end
        end
    end
    return faults
end

--- The moongate modules that a Lua text requires, wherever it does.
function M.requires(text)
    local names = {}
    for line in lines_of(text) do
        local code = line:gsub("^%s*%-%-.*", "")
        for name in code:gmatch("%f[%w_]require%s*%(?%s*[\"'](moongate[%w_.]*)[\"']") do names[#names + 1] = name end
    end
    return names
end

--- A cycle in a graph (name → list of names), as "a → b → a"; nil when there is none.
function M.cycle(graph)
    local state, trail = {}, {}
    local function visit(name)
        if state[name] == "done" then return end
        trail[#trail + 1] = name
        if state[name] == "open" then
            local from = 1
            while trail[from] ~= name do from = from + 1 end
            return table.concat(trail, " → ", from)
        end
        state[name] = "open"
        for _, other in ipairs(graph[name] or {}) do
            local found = visit(other)
            if found then return found end
        end
        trail[#trail] = nil
        state[name] = "done"
    end
    local names = {}
    for name in pairs(graph) do names[#names + 1] = name end
    table.sort(names)
    for _, name in ipairs(names) do
        local found = visit(name)
        if found then return found end
    end
end

return M
