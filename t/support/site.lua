--- Files of a site in a temporary folder, evaluated without a worker. `new { ["site.lua"] = text, … }` gives an object whose `file`
--- evaluates one of them; places in its answers are relative to the folder.
require("t.support.fake_abi").install()
local app = require "moongate.app"
local evaluate = require "moongate.evaluate"

local M = {}

--- The least of `require "moongate"` that a file needs to load. Made for specs that must not have a worker.
M.mg = {
    app = app.new, upstream = require("moongate.upstream").new, split = require("moongate.split").new, extend_request = app.extend_request,
    shared = function() return {} end,
}

local Site = {}
Site.__index = Site
M.class = Site

local function write(path, text)
    local file = assert(io.open(path, "w"))
    file:write(text)
    file:close()
end

--- Writes the files; a name that ends in "/" is a folder.
function M.new(files)
    package.loaded["moongate"] = M.mg
    local folder = os.tmpname()
    os.remove(folder)
    assert(os.execute("mkdir " .. folder) == 0)
    local site = setmetatable({ folder = folder }, Site)
    for name, text in pairs(files) do
        local below = name:match("^(.*)/")
        if below then assert(os.execute(("mkdir -p %s/%s"):format(folder, below)) == 0) end
        if not name:match("/$") then write(folder .. "/" .. name, text) end
    end
    return site
end

function Site:write(name, text) write(self.folder .. "/" .. name, text) end

function Site:path(name) return self.folder .. "/" .. name end

--- Text in which the folder is left out.
function Site:short(text)
    local pattern = self.folder:gsub("%p", "%%%0") .. "/"
    return (text:gsub(pattern, ""))
end

function Site:file(name, overrides) return evaluate.file(self:path(name), overrides) end

--- The problems of a file, one line each: `file:line:column: key: message | hint`.
function Site:problems(name, overrides)
    local lines = {}
    for at, row in ipairs(self:file(name, overrides).problems:rows()) do
        local place = row.file .. (row.line and ":" .. row.line or "") .. (row.column and ":" .. row.column or "")
        local key = row.key and row.key .. ": " or ""
        lines[at] = self:short(place .. ": " .. key .. row.message .. (row.hint and " | " .. row.hint or ""))
    end
    return lines
end

function Site:remove()
    assert(self.folder:match("^/tmp/"))
    os.execute("rm -r " .. self.folder)
end

return M
