--- What the declarative modules need of lua/moongate/abi.lua, without C: the settings table is read from its source, patterns
--- are judged by the simplest of the router's rules. `install()` before requiring a module that asks for it.
local M = {}

local root = os.getenv("MG_ROOT") or "."

M.C = { MG_ROUTE_FIRST = 2, MG_SETTING_BYTES = 0, MG_SETTING_MS = 1, MG_SETTING_COUNT = 2 }

local KINDS = { BYTES = 0, MS = 1, COUNT = 2 }

function M.C.mg_processors() return 2 end

--- The rows of src/gate/settings.tbl.h.
function M.settings_rows()
    local rows = {}
    local file = assert(io.open(root .. "/src/gate/settings.tbl.h"))
    local text = file:read("*a")
    file:close()
    for field, key, kind, initial, least, most, prose in
        text:gmatch('\nX%(([%w_]+), "([^"]+)", (%u+), ([^,]+), ([^,]+), ([^,]+),%s+"([^"]*)"%)') do
        rows[#rows + 1] = {
            field = field, key = key, kind = KINDS[kind], initial = tonumber(initial), least = tonumber(least),
            most = tonumber(most), prose = prose,
        }
    end
    return rows
end

--- true, or nil and a sentence.
function M.pattern_check(pattern)
    if pattern:sub(1, 1) ~= "/" then return nil, ('"%s", byte 1: a pattern begins with "/"'):format(pattern) end
    if pattern:match("/:/") or pattern:match("/:$") then return nil, ('"%s": a parameter needs a name after ":"'):format(pattern) end
    if pattern:match("/%*[^/]*/") then return nil, ('"%s": a wildcard must be the last segment'):format(pattern) end
    return true
end

--- Stands in for the real module, in this spec file.
function M.install()
    package.loaded["moongate.abi"] = M
    return M
end

return M
