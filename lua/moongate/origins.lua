--- Servers that scripts fetch from and no upstream names: each origin is an upstream of one server, opened when it is first needed, and
--- given up when others are needed more. They belong to the worker: a reload keeps them, with their connections.
local ffi = require "ffi"
local abi = require "moongate.abi"

local M = {}

local C = abi.C

local MOST = 64 -- the one that was used least recently gives way
local ENOSPC = -28

local handles, used, count, clock = {}, {}, 0, 0

--- For specs: how many there are, of how many at most.
function M.count() return count, MOST end

local function give_up_oldest()
    local oldest
    for origin, at in pairs(used) do
        if not oldest or at < used[oldest] then oldest = origin end
    end
    if not oldest then return false end
    C.mg_upstream_close(abi.worker, handles[oldest]) -- what is on its way goes on to its end
    handles[oldest], used[oldest], count = nil, nil, count - 1
    return true
end

local function open(origin)
    local handle
    repeat
        handle = C.mg_upstream_open(abi.worker, origin, math.min(#origin, 64), origin, #origin)
    until handle ~= ENOSPC or not give_up_oldest()
    return handle
end

--- The handle of an origin such as "10.0.0.1:80" or "unix:/run/app.sock"; or nil and a message.
---@param origin string
---@return integer? handle
---@return string? message
function M.open(origin)
    clock = clock + 1
    local handle = handles[origin]
    if not handle then
        if count == MOST then give_up_oldest() end
        handle = open(origin)
        if handle < 0 then return nil, ffi.string(abi.border.text, abi.border.text_bytes) end
        handles[origin], count = handle, count + 1
    end
    used[origin] = clock
    return handle
end

return M
