--- URLs of requests that a script makes (RFC 3986, those of http): taken apart, and references resolved against them. Pure.
local query = require "moongate.query"

local M = {}

local PORT = 80

---@class moongate.Url
---@field origin string what its server is opened by: "host:port" or "unix:/path"
---@field host string the Host field
---@field path string "/" at least, escaped, with the query
---@field text string the whole, without user, password and fragment

--- Spaces and bytes beyond ASCII are escaped; controls are not for URLs.
local function escaped(text)
    if text:find("[%c\127]") then return nil end
    return (text:gsub("[ \"<>\\^`{|}\128-\255]", query.encode))
end

local function is_host(host)
    return host:match("^[%w_][%w._-]*$") or host:match("^%[[%x:.]+%]$")
end

--- Host and port of "host:port"; nil and what is wrong.
local function server_of(authority)
    if authority:find("@", 1, true) then return nil, "user and password are not read from it; set headers.authorization" end
    local host, port = authority:match("^(.-):(%d*)$")
    host, port = (host or authority):lower(), tonumber(port ~= "" and port or PORT)
    if not is_host(host) then return nil, host == "" and "a host is missing" or "its host is none" end
    if port < 1 or port > 65535 then return nil, "ports go from 1 to 65535" end
    return host, port
end

local function at(origin, host, path)
    path = escaped(path:gsub("#.*$", ""))
    if not path then return nil, "it has control characters" end
    if path:sub(1, 1) ~= "/" then path = "/" .. path end
    return { origin = origin, host = host, path = path, text = "http://" .. host .. path }
end

--- Takes a URL apart. nil, what is wrong, and "unsupported" when it is the scheme.
---@param text string
---@return moongate.Url? url
---@return string? message
---@return string? code
function M.parse(text)
    local scheme, rest = text:match("^(%a[%w+.-]*)://(.*)$")
    scheme = scheme and scheme:lower()
    if not scheme then return nil, 'a URL begins with "http://"' end
    if scheme == "https" or scheme == "wss" then
        return nil, "servers are spoken to without TLS: https is not there yet; put a TLS client before it, and fetch from that", "unsupported"
    end
    local authority, path = rest:match("^([^/?#]*)(.*)$")
    if scheme == "http+unix" then
        local socket = query.decode(authority:gsub("%+", "%%2B"))
        if socket:sub(1, 1) ~= "/" then return nil, 'the path of the socket is escaped, as in "http+unix://%2Frun%2Fapp.sock/"' end
        return M.on_socket(socket, path)
    elseif scheme ~= "http" then
        return nil, ("%s is not spoken here, http is"):format(scheme), "unsupported"
    end
    local host, port = server_of(authority)
    if not host then return nil, port end
    return at(("%s:%d"):format(host, port), port == PORT and host or ("%s:%d"):format(host, port), path)
end

--- A path on the server that a Unix socket leads to.
---@param socket string
---@param path string
---@return moongate.Url? url
---@return string? message
function M.on_socket(socket, path)
    if #socket > 107 or socket:find("[%c \127]") then return nil, "the path of a socket has at most 107 bytes, no spaces and no controls" end
    return at("unix:" .. socket, "localhost", path)
end

--- The same server with other servers behind its name: for requests to an upstream.
---@param name string
---@param path string
function M.on_upstream(name, path)
    return at(false, name:match("^[%w_.-]+:?%d*$") or "localhost", path)
end

--- "." and ".." segments are taken out (RFC 3986 §5.2.4).
local function without_dots(path)
    local kept = {}
    for segment in path:gmatch("/[^/]*") do
        if segment == "/.." then
            kept[#kept] = nil
        elseif segment ~= "/." then
            kept[#kept + 1] = segment
        end
    end
    if path:match("/%.%.?$") then kept[#kept + 1] = "/" end
    return #kept > 0 and table.concat(kept) or "/"
end

--- Where a reference leads, as in Location: a URL's text, or only a path on the same server.
---@param base moongate.Url
---@param reference string
---@return string text
---@return boolean is_path
function M.resolve(base, reference)
    reference = reference:gsub("#.*$", "")
    if reference:match("^%a[%w+.-]*:") then return reference, false end
    if reference:sub(1, 2) == "//" then return "http:" .. reference, false end
    if reference == "" then return base.path, true end
    local path, arguments = reference:match("^([^?]*)(.*)$")
    local here = base.path:match("^[^?]*")
    if path == "" then return here .. arguments, true end
    if path:sub(1, 1) ~= "/" then path = here:match("^(.*/)") .. path end
    return without_dots(path) .. arguments, true
end

--- Puts arguments behind a path that may have some. nil: they have controls, which would end the line that they stand in.
---@param path string
---@param arguments string
---@return string?
function M.with_query(path, arguments)
    if arguments == "" then return path end
    local text = escaped(arguments)
    return text and path .. (path:find("?", 1, true) and "&" or "?") .. text:gsub("#", "%%23")
end

return M
