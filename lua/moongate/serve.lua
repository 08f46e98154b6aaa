--- `moongate serve DIR`: the config that it stands for.
local app = require "moongate.app"
local descriptor = require "moongate.descriptor"

local M = {}

--- A config that serves the files of a folder.
---@param arguments string[] the folder
---@return table config
function M.config(arguments)
    local folder = arguments[1]
    if not folder or #arguments > 1 then error("serve: expected one folder, as in: moongate serve public", 0) end
    local site = app.new("moongate serve")
    site:get("/*", descriptor.files(folder, nil, "."))
    return { name = "serve", app = site }
end

return M
