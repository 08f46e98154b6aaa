--- Paths of files, as text: nothing is looked up but by `is_folder` and `read`. Relative ones count from the working folder of the process.
local M = {}

local EISDIR = 21

--- The folder of a path: "." for a bare name.
---@param path string
---@return string
function M.folder_of(path)
    local folder = path:match("^(.*)/[^/]*$")
    return folder == "" and "/" or folder or "."
end

--- A path that a file in `folder` names.
---@param folder string "." for the working folder
---@param path string
---@return string
function M.resolve(folder, path)
    if path:sub(1, 1) == "/" or folder == "." then return path end
    return (folder:gsub("/$", "")) .. "/" .. path
end

--- Is there a folder of that name?
---@param path string
---@return boolean
function M.is_folder(path)
    local file = io.open(path, "rb")
    if not file then return false end
    local _, _, code = file:read(1)
    file:close()
    return code == EISDIR
end

--- A whole file, such as one of /proc; nil when it cannot be read.
---@param path string
---@return string?
function M.read(path)
    local file = io.open(path, "rb")
    local text = file and file:read("*a")
    if file then file:close() end
    return text
end

return M
