local M = {
    size = 10
    get = function() end,
}
return M
