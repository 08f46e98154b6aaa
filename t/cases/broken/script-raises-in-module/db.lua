local settings = {}
local M = {}
M.host = settings.database.host
return M
