--- HTTP/1.1 messages as text, strictly (RFC 9110, RFC 9112): what a careful peer would refuse raises here. In: a source of bytes
--- (`line`, `exactly`, `to_end`); out: tables. It knows no sockets.
local M = {}

local message = {}
message.__index = message

--- The value of a field, by name in any case; several are joined by ", "; nil when it is not there.
function message:get(name)
    local values = self:all(name)
    return #values > 0 and table.concat(values, ", ") or nil
end

--- All values of a field, in order.
function message:all(name)
    local values = {}
    for _, field in ipairs(self.fields) do
        if field[1]:lower() == name:lower() then values[#values + 1] = field[2] end
    end
    return values
end

local function refuse(why, what) error(("%s: %q"):format(why, what), 0) end

local function crlf_line(from, what)
    local line = from.line(what)
    if line:sub(-2) ~= "\r\n" then refuse(what .. " does not end with CRLF", line) end
    return line:sub(1, -3), line
end

--- Field lines up to the blank one. RFC 9110 §5.5 for values, §5.6.2 for tokens; RFC 9112 §5.1: no space before the colon.
local function read_fields(from)
    local fields, raw = {}, {}
    while true do
        local line, bytes = crlf_line(from, "a field line")
        raw[#raw + 1] = bytes
        if line == "" then return fields, table.concat(raw) end
        local name, value = line:match("^([%w!#$%%&'*+%-.^_`|~]+):[ \t]*(.-)[ \t]*$")
        if not name then refuse("not a field line", line) end
        if value:find("[%z\1-\8\10-\31\127]") then refuse("a control character in a field value", line) end
        fields[#fields + 1] = { name, value }
    end
end

local function content_length(self)
    local values = self:all("content-length")
    if #values > 1 then refuse("several Content-Length fields", table.concat(values, ", ")) end
    if values[1] and not values[1]:match("^%d+$") then refuse("not a Content-Length", values[1]) end
    return tonumber(values[1])
end

--- RFC 9112 §6.3 for both directions: "none", "length", "chunked" or "close".
local function framing_of(self, is_response)
    local encoding, length = self:get("transfer-encoding"), content_length(self)
    if encoding and length then refuse("Transfer-Encoding with Content-Length", self.head) end
    if encoding and encoding:lower() ~= "chunked" then refuse("a transfer coding other than chunked", encoding) end
    if encoding and self.version ~= "1.1" then refuse("Transfer-Encoding in HTTP/1.0", self.head) end
    if encoding then return "chunked" end
    if length then return "length", length end
    return is_response and "close" or "none"
end

--- One chunk: { bytes, trailers }; the last has no bytes. RFC 9112 §7.1; extensions are refused: nobody here sends any.
function M.read_chunk(from)
    local size = crlf_line(from, "a chunk size")
    if not size:match("^%x+$") then refuse("not a chunk size", size) end
    local count = tonumber(size, 16)
    if count == 0 then return { bytes = "", trailers = (read_fields(from)) } end
    local bytes = from.exactly(count, "a chunk")
    local ending = from.exactly(2, "the end of a chunk")
    if ending ~= "\r\n" then refuse("a chunk does not end with CRLF", ending) end
    return { bytes = bytes }
end

local function read_chunked(from, self)
    local parts = {}
    repeat
        local chunk = M.read_chunk(from)
        parts[#parts + 1] = chunk.bytes
        self.trailers = chunk.trailers
    until chunk.bytes == ""
    self.chunks = #parts - 1
    return table.concat(parts)
end

local function read_body(from, self, length)
    if self.framing == "length" then return from.exactly(length, "the body") end
    if self.framing == "chunked" then return read_chunked(from, self) end
    if self.framing == "close" then return from.to_end() end
    return ""
end

--- A status line and fields; `raw` bytes in `head`.
function M.read_response_head(from)
    local line, bytes = crlf_line(from, "the status line")
    local version, status, reason = line:match("^HTTP/(1%.[01]) ([1-5]%d%d) ([^%c]*)$")
    if not version then refuse("not a status line", line) end
    local self = setmetatable({ version = version, status = tonumber(status), reason = reason }, message)
    local raw
    self.fields, raw = read_fields(from)
    self.head = bytes .. raw
    return self
end

--- A response. RFC 9110 §6.4.1: none to HEAD, 1xx, 204 and 304 has content; §8.6: no Content-Length in 1xx and 204.
function M.read_response(from, method)
    local self = M.read_response_head(from)
    local bare = self.status < 200 or self.status == 204
    local framing, length = framing_of(self, true)
    if bare and framing ~= "close" then refuse("a length or a coding in a response without content", self.head) end
    if bare or self.status == 304 or method == "HEAD" then framing = "none" end
    self.framing = framing
    self.body = read_body(from, self, length)
    return self
end

--- A request as an origin receives it; exactly one Host.
function M.read_request(from)
    local line, bytes = crlf_line(from, "the request line")
    local method, target, version = line:match("^(%u+) (%S+) HTTP/(1%.[01])$")
    if not method then refuse("not a request line", line) end
    local self = setmetatable({ method = method, target = target, version = version }, message)
    local raw, length
    self.fields, raw = read_fields(from)
    self.head = bytes .. raw
    if version == "1.1" and #self:all("host") ~= 1 then refuse("not exactly one Host", self.head) end
    self.framing, length = framing_of(self, false)
    self.body = read_body(from, self, length)
    return self
end

local function field_list(fields)
    if fields == nil or fields[1] then return fields or {} end
    local list = {}
    for name, value in pairs(fields) do list[#list + 1] = { name, value } end
    table.sort(list, function(a, b) return a[1] < b[1] end)
    return list
end

--- The text of a request. `fields` is a map or a list of { name, value }; Host and, with a body, Content-Length are added when
--- they are not there and no Transfer-Encoding is.
function M.request(method, target, fields, body)
    local lines, has = { ("%s %s HTTP/1.1\r\n"):format(method, target), "" }, {}
    for _, field in ipairs(field_list(fields)) do
        lines[#lines + 1] = ("%s: %s\r\n"):format(field[1], field[2])
        has[field[1]:lower()] = true
    end
    if not has.host then lines[2] = "Host: test\r\n" end
    if body and not has["content-length"] and not has["transfer-encoding"] then
        lines[#lines + 1] = ("Content-Length: %d\r\n"):format(#body)
    end
    return table.concat(lines) .. "\r\n" .. (body or "")
end

--- A chunked body: each piece a chunk, then the last chunk.
function M.chunked(...)
    local parts = {}
    for _, piece in ipairs { ... } do parts[#parts + 1] = ("%x\r\n%s\r\n"):format(#piece, piece) end
    return table.concat(parts) .. "0\r\n\r\n"
end

return M
