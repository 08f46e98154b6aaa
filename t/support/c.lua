--- Loads the C headers of the rooms through the preprocessor and the rooms themselves as a shared library,
--- so that a spec can call any function of theirs. MG_BUILD names the build folder (default "build").
local ffi = require "ffi"

local M = {}
local root = os.getenv("MG_ROOT") or "."
local build = os.getenv("MG_BUILD") or (root .. "/build")
local declared = {}
local lib

--- Declares headers, e.g. `c.header("http/head.h", "http/body.h")`; each once per process, whatever includes it.
function M.header(...)
    local names = { ... }
    local lines = {}
    for _, name in ipairs(names) do lines[#lines + 1] = ('#include "%s"'):format(name) end
    local source = os.tmpname()
    local f = assert(io.open(source, "w"))
    f:write(table.concat(lines, "\n"), "\n")
    f:close()
    local p = assert(io.popen(("cc -E -P -xc -DMG_CDEF -I%s/src %s"):format(root, source)))
    local text = p:read("*a")
    p:close()
    os.remove(source)
    -- A header that another spec has declared already must not be declared twice: split at top-level ';' and skip known texts.
    local depth, from = 0, 1
    for at = 1, #text do
        local ch = text:sub(at, at)
        if ch == "{" then depth = depth + 1 elseif ch == "}" then depth = depth - 1
        elseif ch == ";" and depth == 0 then
            local decl = text:sub(from, at)
            from = at + 1
            local key = decl:gsub("%s+", " ")
            if not declared[key] then
                declared[key] = true
                ffi.cdef(decl)
            end
        end
    end
end

--- The rooms, as an ffi namespace.
function M.lib()
    lib = lib or ffi.load(build .. "/libmoongate-test.so")
    return lib
end

--- Whether this build has them: a sanitized one has the program alone.
function M.has_lib()
    local f = io.open(build .. "/libmoongate-test.so")
    return f ~= nil and f:close()
end

M.build, M.root = build, root
return M
