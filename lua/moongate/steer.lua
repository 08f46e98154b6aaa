--- Where one request is forwarded: what a descriptor says of the server, the key, fields and cookies that bind a client. In: a request and a
--- descriptor. Out: the same to C, and a Set-Cookie line for a client that came without one.
local ffi = require "ffi"
local bit = require "bit"
local abi = require "moongate.abi"
local cookies = require "moongate.cookies"
local schema = require "moongate.schema"
local split = require "moongate.split"

local M = {}

local C = abi.C
local band, bxor, lshift, rshift, tobit = bit.band, bit.bxor, bit.lshift, bit.rshift, bit.tobit

--- ---- options ----

local function text_or_function(expected)
    return schema.custom(expected .. ", or a function(req) that returns one", { "string", "function" }, function(value)
        if type(value) == "function" or type(value) == "string" and value ~= "" and not value:find("[%c]") then return value end
        return nil
    end)
end

--- { name = "value" }, false: not sent on. As lines for C (src/proxy/edit.h).
local fields = schema.custom("a table of header fields; false takes one away", { "table" }, function(given)
    if type(given) ~= "table" then return nil end
    local lines = {}
    for name, value in pairs(given) do
        if type(name) ~= "string" or not name:match("^[%w!#$%%&'*+.^_`|~-]+$") then
            return nil, ("%s is no name of a header field"):format(schema.shown(name))
        end
        if value ~= false and (type(value) ~= "string" and type(value) ~= "number" or tostring(value):find("[%z\1-\8\10-\31\127]")) then
            return nil, ("header %q: expected a string without controls, or false"):format(name)
        end
        lines[#lines + 1] = value == false and name .. "\n" or ("%s: %s\n"):format(name, value)
    end
    table.sort(lines)
    local edits = table.concat(lines)
    if C.mg_edits_check(edits, #edits) < 0 then
        return nil, "a field of the framing, the connection, Host or X-Forwarded-For, -Proto, -Host is the gateway's own", "Host is the option `host`"
    end
    return edits
end)

local sticky = schema.custom('the name of a cookie, or { cookie = "name", max_age = "1h" }', { "string", "table" }, function(value)
    local options = type(value) == "table" and {} or { cookie = value }
    if type(value) == "table" then
        for key, option in pairs(value) do options[key] = option end
    end
    local name = options.cookie
    options.cookie = nil
    if type(name) ~= "string" then return nil end
    local line, message = cookies.render(name, "0", options, options.secure)
    if not line then return nil, message end
    return { name = name, options = options }
end)

--- Rows of the options of app:proxy and mg.proxy.
M.FIELDS = {
    { name = "server", type = text_or_function('the address of one of the servers, such as "10.0.0.1:9000"') },
    { name = "key", type = text_or_function("a text that the server is chosen by") },
    { name = "headers", type = fields },
    { name = "sticky", type = sticky },
}

--- ---- hashes ----

--- FNV-1a, continued from `hash`.
local function hashed(hash, text)
    for at = 1, #text do
        hash = bxor(hash, text:byte(at))
        hash = tobit(lshift(hash, 24) + tobit(hash * 0x193))
    end
    return hash
end

--- The bits of a hash mixed, as a number from 0 to 1, both left out.
local function share_of(hash)
    hash = bxor(hash, rshift(hash, 16))
    hash = tobit(lshift(hash, 13) + hash)
    hash = bxor(hash, rshift(hash, 17))
    hash = tobit(lshift(hash, 5) + hash)
    hash = bxor(hash, rshift(hash, 15))
    return (band(hash, 0xffffff) + 0.5) / 0x1000000
end

--- Of all servers the one that scores best with this id: the others' clients stay where they are when one comes or goes (weighted rendezvous).
local function server_for(upstream, id)
    local best, best_score
    for _, server in ipairs(upstream.servers) do
        local score = -server.weight / math.log(share_of(hashed(hashed(-2128831035, server.address), id)))
        if not best or score > best_score then best, best_score = server.address, score end
    end
    return best
end

--- ---- one request ----

local random = ffi.new("char[8]")

local function new_id()
    C.mg_random(random, 8)
    return (ffi.string(random, 8):gsub(".", function(byte) return ("%02x"):format(byte:byte()) end))
end

local function cookie_line(req, name, value, options)
    local line, message = cookies.render(name, value, options, req.scheme == "https")
    if not line then error(message, 0) end
    return line
end

--- The id that binds a client to a server, and a line to set it when it is new.
local function id_of(req, sticky_options)
    local id = req.cookies[sticky_options.name]
    if id and #id == 16 and id:match("^%x+$") then return id end
    id = new_id()
    return id, cookie_line(req, sticky_options.name, id, sticky_options.options)
end

--- The branch of a split that this request takes.
---@return moongate.Descriptor branch
---@return string? cookie
function M.branch(req, made)
    local parts = made.split
    if parts.key then
        local key = parts.key(req)
        if key ~= nil then return made.branches[split.part_at(parts, share_of(hashed(-2128831035, tostring(key))))] end
    end
    local at = parts.cookie and split.part_named(parts, req.cookies[parts.cookie])
    if at then return made.branches[at] end
    at = split.part_at(parts, math.random())
    return made.branches[at], parts.cookie and cookie_line(req, parts.cookie, parts.parts[at].name, {})
end

local function said(req, option, what)
    if type(option) ~= "function" then return option or "" end
    local value = option(req)
    if value == nil then return "" end
    if type(value) ~= "string" then error(("app:proxy: %s: its function returned a %s, not a string"):format(what, type(value)), 0) end
    return value
end

--- What an upstream's function says that the server is chosen by; "": nothing.
---@return string
function M.key(req, upstream)
    local key = upstream.key(req)
    if key == nil or key == false then return "" end
    if type(key) ~= "string" and type(key) ~= "number" then
        error(("the hash of upstream %q gave a %s: expected a string, or nil"):format(upstream.name, type(key)), 0)
    end
    return tostring(key)
end

--- Tells C where this request goes. A Set-Cookie line for its answer, or nil.
---@param req table
---@param made moongate.Descriptor
---@return string? cookie
function M.apply(req, made)
    local options, cookie, id = made.options, nil, nil
    local server, key, edits = said(req, options.server, "server"), said(req, options.key, "key"), options.headers or ""
    if key == "" and made.upstream and made.upstream.key then key = M.key(req, made.upstream) end
    if options.sticky then
        id, cookie = id_of(req, options.sticky)
        if key == "" then key = id end
        if server == "" then server = server_for(made.upstream, id) end
    end
    if server == "" and key == "" and edits == "" and not rawget(req, "_steered") then return nil end
    rawset(req, "_steered", true)
    rawset(req, "_used", true)
    local rc = C.mg_forward_to(abi.worker, req._slot, server, #server, key, #key, edits, #edits)
    if rc < 0 and rc ~= -114 then error("the request cannot be forwarded: " .. (rc == -22 and "header fields" or "limits.buffers"), 0) end
    return cookie
end

return M
