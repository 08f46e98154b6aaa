--- Addresses as users write them: `127.0.0.1:8080`, `[::1]:8080`, `:8080`, `stock:9000`, `unix:/run/site.sock`. Only their form
--- is judged here; names are resolved where they are used.
local schema = require "moongate.schema"

local M = {}

local UNIX_PATH_MAX = 107 -- sun_path, unix(7)

--- nil when the form is right, else what is wrong with it.
local function fault(text, with_any_host, least_port)
    if text:match("^%s") or text:match("%s$") then return "it begins or ends with a blank" end
    if text:match("%c") then return "it has a control character" end
    local path = text:match("^unix:(.*)$")
    if path then
        if path == "" then return "a path follows \"unix:\"" end
        return #path > UNIX_PATH_MAX and ("a socket's path has at most %d bytes"):format(UNIX_PATH_MAX) or nil
    end
    if text:match("^%a+://") then return "an address has no scheme" end
    local host, port = text:match("^(.*):(%d+)$")
    if not host then return "a port is missing" end
    if tonumber(port) < least_port or tonumber(port) > 65535 or #port > 5 then
        return ("ports go from %d to 65535"):format(least_port)
    end
    if host == "" then return not with_any_host and "a host is missing" or nil end
    if host:match("^%[[%x:.]+%]$") or host:match("^[%w_][%w%-_.]*$") then return nil end
    if host:find(":", 1, true) then return "an IPv6 address stands in brackets, as in \"[::1]:8080\"" end
    return "not a host"
end

--- What a bare number or port was probably meant to be.
local function hint(value)
    local digits = tostring(value):match("^%d+$")
    if digits then return ("did you mean %q?"):format(":" .. digits) end
    local trimmed = type(value) == "string" and value:match("^%s*(.-)%s*$")
    local bare = type(value) == "string" and value:match("^%a+://([^/?#]+)/?$")
    if bare and not value:match("^https:") then return ("did you mean %q?"):format(bare) end
    if trimmed and trimmed ~= value and trimmed:match("%S") then return ("did you mean %q?"):format(trimmed) end
    return nil
end

--- `http://host:port` without its scheme; port 80 when it names none. Or nil and what is wrong.
local function from_url(text)
    if text:match("^https:") then return nil, "servers are spoken to without TLS, as in \"http://10.0.0.1:9000\"" end
    local rest = text:match("^http://(.*)$")
    if not rest then return text end
    local authority, path = rest:match("^([^/?#]*)/?(.*)$")
    if path ~= "" then return nil, "a server has no path; the option `path` of app:proxy changes the request's" end
    return authority:match(":%d+$") and authority or authority .. ":80"
end

local function address_type(expected, read)
    return schema.custom(expected, { "string" }, function(value)
        if type(value) ~= "string" then
            return nil, nil, type(value) == "number" and hint(value) or nil
        end
        local text, wrong = read(value)
        if text then return text end
        return nil, ("expected %s, got %s: %s"):format(expected, schema.shown(value), wrong), hint(value)
    end)
end

--- Where to listen. Port 0 lets the system choose.
M.listen = address_type('an address such as "127.0.0.1:8080", ":8080" or "unix:/path"', function(text)
    local wrong = fault(text, true, 0)
    return not wrong and text or nil, wrong
end)

--- Where a server is; a URL without a path is taken, too.
M.server = address_type('a server such as "10.0.0.1:9000" or "unix:/path"', function(value)
    local text, wrong = from_url(value)
    wrong = wrong or fault(text, false, 1)
    return not wrong and text or nil, wrong
end)

return M
