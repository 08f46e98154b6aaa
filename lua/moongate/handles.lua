--- What scripts name and C opens: folders that files are sent from, and upstreams. Each is opened when it is first needed and let go with
--- the generation that named it. An upstream that the next generation names as well stays open, with its connections; a folder is opened
--- anew, so that one which was put in the place of another is seen.
local ffi = require "ffi"
local abi = require "moongate.abi"

local M = {}

local C = abi.C

local PASSING_MAX = 32

---@class moongate.Handles what one generation holds
---@field roots table<string, integer>
---@field passing string[] folders of `mg.file`, whose names may come from requests: the oldest of those is given up
---@field next_passing integer
---@field upstreams table<string, integer>

--- Nothing held.
---@return moongate.Handles
function M.new()
    return { roots = {}, passing = {}, next_passing = 1, upstreams = {} }
end

--- A folder's handle; or nil and a negated errno.
---@param held moongate.Handles
---@param folder string
---@param stays boolean
function M.root(held, folder, stays)
    local roots = held.roots
    local root = roots[folder]
    if root then return root end
    root = C.mg_root_open(abi.worker, folder, #folder)
    if root < 0 then return nil, root end
    roots[folder] = root
    if not stays then
        local oldest = held.passing[held.next_passing]
        if oldest then
            C.mg_root_close(abi.worker, roots[oldest])
            roots[oldest] = nil
        end
        held.passing[held.next_passing] = folder
        held.next_passing = held.next_passing % PASSING_MAX + 1
    end
    return root
end

--- Upstreams of all generations, by what their servers are, with the number of generations that hold them: one that is open is not opened
--- again, for names are looked up when it is, which may take a while.
local open = {}

local function open_upstream(name, key, servers)
    local known = open[key]
    if known then
        known.holders = known.holders + 1
        return known.handle
    end
    local handle = C.mg_upstream_open(abi.worker, name, #name, servers, #servers)
    if handle < 0 then return nil, ("upstream %q: %s"):format(name, ffi.string(abi.border.text, abi.border.text_bytes)) end
    open[key] = { handle = handle, holders = 1 }
    return handle
end

--- An upstream's handle; or nil and a message.
---@param held moongate.Handles
---@param upstream moongate.Upstream
function M.upstream(held, upstream)
    if upstream.held == held then return upstream.handle end
    local lines = { upstream.name .. "\n" }
    for _, server in ipairs(upstream.servers) do lines[#lines + 1] = ("%s %d\n"):format(server.address, server.weight) end
    local key = table.concat(lines)
    local handle, message = held.upstreams[key], nil
    if not handle then
        handle, message = open_upstream(upstream.name, key, table.concat(lines, "", 2))
        if not handle then return nil, message end
        held.upstreams[key] = handle
    end
    upstream.handle, upstream.held = handle, held
    return handle
end

--- Lets go of all. Upstreams that no other generation names are closed.
---@param held moongate.Handles
function M.close(held)
    for _, root in pairs(held.roots) do C.mg_root_close(abi.worker, root) end
    for key, handle in pairs(held.upstreams) do
        local known = open[key]
        known.holders = known.holders - 1
        if known.holders == 0 then
            open[key] = nil
            C.mg_upstream_close(abi.worker, handle)
        end
    end
    held.roots, held.passing, held.next_passing, held.upstreams = {}, {}, 1, {}
end

return M
