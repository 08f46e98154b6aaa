--- Questions to the router about one request, asked by filters that cover some paths of a route, and by those who explain: does a pattern fit
--- its path, which methods has its path.
local ffi = require "ffi"
local abi = require "moongate.abi"
local request = require "moongate.request"

local M = {}

local C = abi.C

--- A program of one pattern for any method: what it fits is route 0. To be freed by mg_program_free().
---@param host string "": any
---@param pattern string
local function program_of(host, pattern)
    local message, other = ffi.new("char[512]"), ffi.new("int32_t[1]")
    local builder = C.mg_routes_new()
    C.mg_routes_add(builder, host, #host, pattern, #pattern, 2 ^ 32 - 1, 0, message, 512, other)
    local program = C.mg_program_new(builder)
    C.mg_routes_free(builder)
    return program
end

--- A question to be asked again and again: do host and path of a request fit?
---@param one { host?: string, pattern: string }
---@return fun(req): boolean
function M.asker(one)
    local program, match = ffi.gc(program_of(one.host or "", one.pattern), C.mg_program_free), ffi.new("struct route_match")
    return function(req)
        local p = req._p
        C.mg_program_match(program, p.bytes + p.head.authority.at, p.head.authority.bytes, p.head.method, p.path, p.path_bytes, 0, match)
        return match.route == 0
    end
end

--- Does a route's path fit, whatever its host and method?
---@param route { pattern: string }
---@param p table struct mg_request
function M.path(route, p)
    local program, match = program_of("", route.pattern), ffi.new("struct route_match")
    C.mg_program_match(program, "", 0, C.METHOD_GET, p.path, p.path_bytes, 0, match)
    C.mg_program_free(program)
    return match.route == 0
end

-- What stands for "any" in an Allow field (add_allow() of src/gate/reply.c).
local ANY, COMMON = 2 ^ 32 - 1, "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS"

--- The methods of a request's path, as the Allow field has them.
---@param p table struct mg_request, matched
---@return string
function M.allowed(p)
    if p.match.allow == ANY then return COMMON end
    local names = {}
    for number = 0, 31 do
        if bit.band(p.match.allow, bit.lshift(1, number)) ~= 0 and request.METHODS[number] then names[#names + 1] = request.METHODS[number] end
    end
    names[#names + 1] = bit.band(p.match.allow, bit.lshift(1, tonumber(C.METHOD_OPTIONS))) == 0 and "OPTIONS" or nil
    return table.concat(names, ", ")
end

return M
