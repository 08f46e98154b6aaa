--- What scripts name and C opens: folders that files are sent from, and upstreams. Each is opened when it is first needed and let go with
--- the generation that named it; what the next generation names as well stays open, with its connections and all that is cached of it.
local ffi = require "ffi"
local abi = require "moongate.abi"

local M = {}

local C = abi.C

local PASSING_MAX = 32

---@class moongate.Handles what one generation holds
---@field folders table<string, integer>
---@field passing string[] folders of `mg.file`, whose names may come from requests: the oldest of those is given up
---@field next_passing integer
---@field upstreams table<string, integer>
---@field opened table<integer, moongate.Upstream> by handle
---@field terms table<string, integer>

--- Nothing held.
---@return moongate.Handles
function M.new()
    return { folders = {}, passing = {}, next_passing = 1, upstreams = {}, opened = {}, terms = {} }
end

--- Folders of all generations, by where they are and what was said of them, with the number of generations that hold them: what is cached of
--- one outlives a reload.
local open_folders = {}

local function folder_open(held, key, dir, lines)
    local known = open_folders[key]
    if not known then
        local handle = C.mg_folder_open(abi.worker, dir, #dir, lines, #lines)
        if handle < 0 then return nil, handle end
        known = { handle = handle, holders = 0 }
        open_folders[key] = known
    end
    known.holders = known.holders + 1
    held.folders[key] = known.handle
    return known.handle
end

local function folder_leave(held, key)
    local known = open_folders[key]
    held.folders[key] = nil
    known.holders = known.holders - 1
    if known.holders > 0 then return end
    open_folders[key] = nil
    C.mg_folder_close(abi.worker, known.handle)
end

--- The handle of the folder of `app:files`; or nil and a negated errno.
---@param held moongate.Handles
---@param descriptor moongate.Descriptor
function M.folder(held, descriptor)
    if descriptor.held == held then return descriptor.handle end
    local key = descriptor.dir .. "\0" .. descriptor.lines
    local handle, rc = held.folders[key], nil
    if not handle then
        handle, rc = folder_open(held, key, descriptor.dir, descriptor.lines)
        if not handle then return nil, rc end
    end
    descriptor.handle, descriptor.held = handle, held
    return handle
end

--- The handle of a folder that a file is named in; or nil and a negated errno.
---@param held moongate.Handles
---@param dir string
function M.passing(held, dir)
    local key = dir .. "\0\0" -- not one of app:files with the same options: that one stays
    local handle, rc = held.folders[key], nil
    if handle then return handle end
    handle, rc = folder_open(held, key, dir, "")
    if not handle then return nil, rc end
    local oldest = held.passing[held.next_passing]
    if oldest then folder_leave(held, oldest) end
    held.passing[held.next_passing] = key
    held.next_passing = held.next_passing % PASSING_MAX + 1
    return handle
end

--- Upstreams of all generations, by what is said of them, with the number of generations that hold them. Those of different lines share what
--- servers they have in common, in C.
local open = {}

local function open_upstream(name, key, servers)
    local known = open[key]
    if known then
        known.holders = known.holders + 1
        return known.handle
    end
    local handle = C.mg_upstream_open(abi.worker, name, #name, servers, #servers)
    if handle < 0 then return nil, ffi.string(abi.border.text, abi.border.text_bytes) end
    open[key] = { handle = handle, holders = 1 }
    return handle
end

--- An upstream's handle; or nil and a message.
---@param held moongate.Handles
---@param upstream moongate.Upstream
function M.upstream(held, upstream)
    if upstream.held == held then return upstream.handle end
    local key = upstream.name .. "\n" .. upstream.lines
    local handle, message = held.upstreams[key], nil
    if not handle then
        handle, message = open_upstream(upstream.name, key, upstream.lines)
        if not handle then return nil, message end
        held.upstreams[key] = handle
        held.opened[handle] = upstream
    end
    upstream.handle, upstream.held = handle, held
    return handle
end

--- The handle of the terms that a descriptor's lines say; or nil and a message.
---@param held moongate.Handles
---@param descriptor moongate.Descriptor
function M.terms(held, descriptor)
    if descriptor.is_passing then return M.passing_terms(descriptor.lines), "no more ways of forwarding can be kept" end
    if descriptor.terms_held == held then return descriptor.terms end
    local lines = descriptor.lines
    local handle = held.terms[lines]
    if not handle then
        handle = C.mg_terms_open(abi.worker, lines, #lines)
        if handle < 0 then return nil, ("%s: no more ways of forwarding can be kept (%d)"):format(descriptor.upstream.name, handle) end
        held.terms[lines] = handle
    end
    descriptor.terms, descriptor.terms_held = handle, held
    return handle
end

--- Terms that a request made: their number is bounded, and the oldest give way. "": nothing was said.
local passing_terms, passing_order, passing_at = {}, {}, 1
local PASSING_TERMS_MAX = 256

--- Their handle; or nil when there is no more room.
---@param lines string
---@return integer?
function M.passing_terms(lines)
    if lines == "" then return 0 end
    local known = passing_terms[lines]
    if known then return known end
    local handle = C.mg_terms_open(abi.worker, lines, #lines)
    if handle < 0 then return nil end
    local oldest = passing_order[passing_at]
    if oldest then
        C.mg_terms_close(abi.worker, passing_terms[oldest])
        passing_terms[oldest] = nil
    end
    passing_order[passing_at], passing_terms[lines] = lines, handle
    passing_at = passing_at % PASSING_TERMS_MAX + 1
    return handle
end

--- Lets go of all. Upstreams that no other generation names are closed.
---@param held moongate.Handles
function M.close(held)
    for key in pairs(held.folders) do folder_leave(held, key) end
    for key, handle in pairs(held.upstreams) do
        local known = open[key]
        known.holders = known.holders - 1
        if known.holders == 0 then
            open[key] = nil
            C.mg_upstream_close(abi.worker, handle)
        end
    end
    for _, handle in pairs(held.terms) do C.mg_terms_close(abi.worker, handle) end
    held.passing, held.next_passing, held.upstreams, held.opened, held.terms = {}, 1, {}, {}, {}
end

return M
