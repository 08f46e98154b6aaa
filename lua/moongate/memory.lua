--- What follows when Lua may not have more memory (src/abi/memory.c): whoever asked for it has failed, and the garbage goes at once.
local ffi = require "ffi"
local abi = require "moongate.abi"

local M = {}

local REFUSED = "not enough memory" -- LuaJIT's own words

local told = ffi.new("char[256]")

--- Is this error one of those?
function M.is_starved(failure)
    return abi.border.starved == 1 and type(failure) == "string" and failure:find(REFUSED, 1, true) ~= nil
end

--- The error as a sentence that says how much there was.
---@param failure string
---@return string
function M.text(failure)
    if failure ~= REFUSED then return failure end
    return ffi.string(told, abi.C.mg_memory_told(told, 256))
end

--- Called by the scheduler when what failed is not on any stack any more: memory is there again before anybody else runs.
function M.recover()
    abi.border.starved = 0
    collectgarbage()
end

return M
