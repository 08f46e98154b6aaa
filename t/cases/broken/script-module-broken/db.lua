local M = {}
function M.get(key)
    if key = nil then return nil end
end
return M
