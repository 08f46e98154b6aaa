--- What may be said of a folder of files: `app:files(pattern, dir, { … })`. In: options as a user wrote them, checked by the rows below. Out:
--- the lines that C reads (src/file/root.h), the same text for the same options, so that a reload finds its folder again.
local schema = require "moongate.schema"

local M = {}

local CHECK_LEAST, CHECK_MOST = 10, 86400000
local INDEX_MAX = 4

--- Text that may stand in a header field.
local field_value = schema.custom("a header value without control characters", { "string" }, function(value)
    if type(value) ~= "string" or value == "" or value:match("%c") then return nil end
    return value
end)

local pattern = schema.custom('a pattern such as "*.css" or "fonts/*"', { "string" }, function(value)
    if type(value) ~= "string" or value == "" or value:match("%c") then return nil end
    return (value:gsub("^/", ""))
end)

local name = schema.custom('a file name such as "index.html"', { "string" }, function(value)
    if type(value) ~= "string" or value == "" or #value > 100 or value:match("[%c/]") then return nil end
    return value
end)

local path = schema.custom('a path in the folder, such as "index.html"', { "string" }, function(value)
    if type(value) ~= "string" or value:match("%c") then return nil end
    value = value:gsub("^/", "")
    return value ~= "" and value or nil
end)

--- The options, as rows of a schema.
M.FIELDS = {
    { name = "cache_control", type = schema.either { field_value, schema.map(pattern, field_value) } },
    { name = "check", type = schema.duration(CHECK_LEAST, CHECK_MOST) },
    { name = "compress", type = schema.boolean },
    { name = "download", type = schema.either { schema.boolean, schema.list(pattern, 1, 32) } },
    { name = "growing", type = schema.boolean },
    { name = "hidden", type = schema.boolean },
    { name = "index", type = schema.list(name, 1, INDEX_MAX) },
    { name = "links", type = schema.choice { "inside", "never", "anywhere" } },
    { name = "list", type = schema.boolean },
    { name = "not_found", type = path },
    { name = "try", type = path },
}

--- The patterns of a map, the longest first: the more is said, the more it counts.
local function by_length(map)
    local patterns = {}
    for each in pairs(map) do patterns[#patterns + 1] = each end
    table.sort(patterns, function(a, b)
        if #a ~= #b then return #a > #b end
        return a < b
    end)
    return patterns
end

--- Checked options as lines.
---@return string
function M.lines(options)
    local lines = {}
    local function add(...) lines[#lines + 1] = table.concat({ ... }, " ") .. "\n" end
    local cache = options.cache_control
    if type(cache) == "string" then cache = { ["*"] = cache } end
    for _, each in ipairs(by_length(cache or {})) do add("cache", each .. "\t" .. cache[each]) end
    local download = options.download == true and { "*" } or options.download or {}
    for _, each in ipairs(download) do add("download", each) end
    for _, each in ipairs(options.index or {}) do add("index", each) end
    if options.check then add("check", ("%d"):format(options.check)) end
    if options.compress == false then add("plain") end
    if options.growing then add("growing") end
    if options.hidden then add("hidden") end
    if options.links then add("links", options.links) end
    if options.list then add("list") end
    if options.try then add("fallback", options.try) end
    if options.not_found then add("missing", options.not_found) end
    return table.concat(lines)
end

return M
