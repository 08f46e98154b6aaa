--- What scripts name and C opens: folders that files are sent from, and upstreams. Each is opened when it is first needed, once in a worker.
local ffi = require "ffi"
local abi = require "moongate.abi"

local M = {}

local C = abi.C

--- Folders of `app:files`, which stay; and of `mg.file`, whose names may come from requests: the oldest of those is given up.
local roots, passing, next_passing = {}, {}, 1
local PASSING_MAX = 32

--- A folder's handle; or nil and a negated errno.
---@param folder string
---@param stays boolean
function M.root(folder, stays)
    local root = roots[folder]
    if root then return root end
    root = C.mg_root_open(abi.worker, folder, #folder)
    if root < 0 then return nil, root end
    roots[folder] = root
    if not stays then
        local oldest = passing[next_passing]
        if oldest then
            C.mg_root_close(abi.worker, roots[oldest])
            roots[oldest] = nil
        end
        passing[next_passing] = folder
        next_passing = next_passing % PASSING_MAX + 1
    end
    return root
end

--- By what the servers are, so that an upstream written in a handler is opened once.
local upstreams = {}

--- An upstream's handle; or nil and a message.
---@param upstream moongate.Upstream
function M.upstream(upstream)
    if upstream.handle then return upstream.handle end
    local lines = { upstream.name .. "\n" }
    for _, server in ipairs(upstream.servers) do lines[#lines + 1] = ("%s %d\n"):format(server.address, server.weight) end
    local key = table.concat(lines)
    local handle = upstreams[key]
    if not handle then
        local servers = table.concat(lines, "", 2)
        handle = C.mg_upstream_open(abi.worker, upstream.name, #upstream.name, servers, #servers)
        if handle < 0 then
            return nil, ("upstream %q: %s"):format(upstream.name, ffi.string(abi.border.text, abi.border.text_bytes))
        end
        upstreams[key] = handle
    end
    upstream.handle = handle
    return handle
end

return M
