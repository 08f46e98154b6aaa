--- The files of the tree, for checks that read them: paths relative to the top, with their texts. Data folders (corpora, results)
--- and what a build made are left out.
local lfs = require "lfs"
local process = require "t.support.process"

local M = {}
local root = os.getenv("MG_ROOT") or "."
local TOP = { "src", "lua", "conf", "t", "bench" }
local SKIPPED = { ["t/fuzz/corpus"] = true, ["t/cases"] = true, ["t/tmp"] = true, ["bench/results"] = true }

local function walk(folder, found)
    if SKIPPED[folder] then return end
    for name in lfs.dir(root .. "/" .. folder) do
        local path = folder .. "/" .. name
        local kind = name:sub(1, 1) ~= "." and lfs.attributes(root .. "/" .. path, "mode")
        if kind == "directory" then walk(path, found) elseif kind == "file" then found[#found + 1] = path end
    end
end

--- Paths below `folder` (or all of the tree) that match a Lua pattern, sorted.
function M.paths(pattern, folder)
    local found = {}
    for _, top in ipairs(folder and { folder } or TOP) do walk(top, found) end
    if not folder then
        for _, name in ipairs { "Makefile", "README.md", "meson.build", "meson_options.txt", ".ci/run" } do
            if lfs.attributes(root .. "/" .. name) then found[#found + 1] = name end
        end
    end
    local chosen = {}
    for _, path in ipairs(found) do
        if path:match(pattern or ".") then chosen[#chosen + 1] = path end
    end
    table.sort(chosen)
    return chosen
end

function M.exists(path) return lfs.attributes(root .. "/" .. path, "mode") == "file" end

function M.text(path) return process.read_file(root .. "/" .. path) end

--- Path and text of each file that `paths` names.
function M.each(pattern, folder)
    local paths, at = M.paths(pattern, folder), 0
    return function()
        at = at + 1
        if paths[at] then return paths[at], M.text(paths[at]) end
    end
end

return M
