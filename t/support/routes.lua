--- The router through FFI, as the specs of t/route use it: routes as tables in, answers as tables out.
local ffi = require "ffi"
local c = require "t.support.c"
c.header("route/program.h", "http/message.h")
local lib = c.lib()

local M = { lib = lib, ANY = 0xffffffff }
local message, other = ffi.new("char[256]"), ffi.new("int32_t[1]")
local match = ffi.new("struct route_match")

local function bit_of(method) return 2 ^ tonumber(ffi.C["METHOD_" .. method]) end

--- "GET,POST" as a mask; nil or "*" is any method.
function M.methods(names)
    if not names or names == "*" then return M.ANY end
    local mask = 0
    for name in names:gmatch("[^,]+") do mask = mask + bit_of(name) end
    return mask
end

--- A mask as "GET,HEAD", in order of number.
function M.method_names(mask)
    if mask == M.ANY then return "*" end
    local names = {}
    for _, name in ipairs { "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "OTHER" } do
        if math.floor(mask / bit_of(name)) % 2 == 1 then names[#names + 1] = name end
    end
    return table.concat(names, ",")
end

function M.builder() return ffi.gc(lib.route_builder_new(), lib.route_builder_free) end

--- Adds { pattern, methods, host = … } as `number`. Returns 0, or the error, the message and the other route's number.
function M.add(builder, route, number)
    local host = route.host or ""
    ffi.fill(message, 256)
    other[0] = -1
    local error = lib.route_add(builder, host, #host, route[1], #route[1], M.methods(route[2]), number, message, 256, other)
    return error, error ~= 0 and ffi.string(message) or nil, error ~= 0 and other[0] or nil
end

function M.compile(builder) return ffi.gc(lib.route_compile(builder), lib.route_program_free) end

--- A program of routes; the number of a route is its place in the list, or its field `number`.
function M.program(routes)
    local builder = M.builder()
    for at, route in ipairs(routes) do
        local error, text = M.add(builder, route, route.number or at)
        assert(error == 0, ("%s %s: %s"):format(route.host or "", route[1], text))
    end
    return M.compile(builder)
end

--- Returns { route, allow, captures } as { number or nil, "GET,HEAD" or nil, list of texts }, and the nodes visited.
function M.match(program, method, path, host, skip)
    host = host or "example.org"
    local number = type(method) == "number" and method or ffi.C["METHOD_" .. method]
    local steps = lib.route_match_counted(program, host, #host, number, path, #path, skip or 0, match)
    local captures = {}
    for i = 0, match.capture_count - 1 do
        local capture = match.captures[i]
        captures[i + 1] = path:sub(capture.at + 1, capture.at + capture.bytes)
        assert(capture.at + capture.bytes <= #path)
    end
    if match.route == lib.ROUTE_NONE then return { allow = M.method_names(match.allow), captures = captures }, steps end
    assert(match.allow == 0)
    return { route = match.route, captures = captures }, steps
end

--- The number of the route and its captures as one text: "3 a b"; "405 GET,HEAD" or "404" when there is none.
function M.answer(program, method, path, host, skip)
    local found = M.match(program, method, path, host, skip)
    if found.route then return table.concat({ found.route, unpack(found.captures) }, " ") end
    return found.allow == "" and "404" or "405 " .. found.allow
end

function M.check(pattern)
    ffi.fill(message, 256)
    local error = lib.route_pattern_check(pattern, #pattern, message, 256)
    return error, ffi.string(message)
end

--- Calls `f` with the list in every order.
function M.permutations(list, f)
    local function place(n)
        if n == 1 then return f(list) end
        for i = 1, n do
            list[i], list[n] = list[n], list[i]
            place(n - 1)
            list[i], list[n] = list[n], list[i]
        end
    end
    place(#list)
end

return M
