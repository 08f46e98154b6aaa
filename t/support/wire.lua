--- A raw HTTP/1.1 client: what is sent is exactly what the spec says, what comes back is parsed strictly and every oddity raises.
--- Every wait has a limit (default 5 seconds, more for a sanitized build). Nothing is sent or read behind the spec's back.
---
---     local c = wire.connect("127.0.0.1", port)
---     c:send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
---     local r = c:read()                       -- r.status, r.body, r:get("content-type"), r.fields, r.head
---     c:expect_close()
local socket = require "socket"
local http_text = require "t.support.http_text"

local M = {}
local client = {}
client.__index = client

local SLOWNESS = (os.getenv("MG_BUILD") or ""):match("asan") and 5 or 1
local open = setmetatable({}, { __mode = "k" })

local function open_socket(host, port, seconds)
    local path = host:match("^unix:(.+)")
    local s = path and require "socket.unix"() or socket[host:find(":", 1, true) and "tcp6" or "tcp4"]()
    s:settimeout(seconds)
    local ok, message
    if path then ok, message = s:connect(path) else ok, message = s:connect(host, port) end
    if not ok then
        s:close()
        return nil, message
    end
    if not path then s:setoption("tcp-nodelay", true) end
    s:settimeout(0)
    return s
end

--- Takes an accepted or connected socket over; the client owns it.
function M.adopt(s, options)
    s:settimeout(0)
    local self = setmetatable({ socket = s, pending = "", seconds = (options and options.seconds or 5) * SLOWNESS }, client)
    open[self] = true
    return self
end

--- A connection. `host` may be "unix:/path". Options: `seconds`, the limit of each wait. Raises when it is refused.
function M.connect(host, port, options)
    local s, message = open_socket(host, port, options and options.seconds or 5)
    if not s then error(("connect %s:%s: %s"):format(host, port or "", message), 2) end
    return M.adopt(s, options)
end

--- A port of 127.0.0.1 that was free a moment ago.
---@return integer
function M.free_port()
    local held = assert(socket.bind("127.0.0.1", 0))
    local _, port = held:getsockname()
    held:close()
    return tonumber(port)
end

--- Whether a connection is refused: nothing listens there.
function M.is_refused(host, port)
    local s, message = open_socket(host, port, 5)
    if s then s:close() end
    return s == nil and (message == "connection refused" or message:match("[Nn]o such file") ~= nil)
end

--- Closes what specs left open.
function M.sweep()
    for c in pairs(open) do c:close() end
end

--- Sends everything; raises at a closed connection or when the peer takes nothing for the limit. Returns the client.
function client:send(bytes)
    local at, limit = 1, socket.gettime() + self.seconds
    while at <= #bytes do
        local last, message, partial = self.socket:send(bytes, at)
        if not last and message ~= "timeout" then error(("send: %s after %d bytes"):format(message, partial or 0), 2) end
        at = (last or partial) + 1
        if not last then
            if socket.gettime() > limit then error(("send: %d of %d bytes in time"):format(at - 1, #bytes), 2) end
            socket.select(nil, { self.socket }, limit - socket.gettime())
        end
    end
    return self
end

--- Sends until the peer takes no more for `seconds`, or has closed. Returns how many bytes went out and "timeout", "closed" or nil.
function client:send_until_full(bytes, seconds)
    local at = 1
    while at <= #bytes do
        local last, message, partial = self.socket:send(bytes, at)
        if not last and message ~= "timeout" then return partial or at - 1, message end
        at = (last or partial) + 1
        if not last and #select(2, socket.select(nil, { self.socket }, seconds)) == 0 then return at - 1, "timeout" end
    end
    return #bytes
end

--- Sends in pieces of `size` bytes (default 1), each a segment of its own.
function client:send_pieces(bytes, size)
    size = size or 1
    for at = 1, #bytes, size do self:send(bytes:sub(at, at + size - 1)) end
    return self
end

--- One more read from the socket into `pending`. Returns false at the end of the stream, nil when the limit is over.
local function fill(self, limit)
    while true do
        local data, message, partial = self.socket:receive(65536)
        local got = data or partial
        if got and #got > 0 then
            self.pending = self.pending .. got
            return true
        end
        if message ~= "timeout" then
            self.ended = message
            return false
        end
        local left = limit - socket.gettime()
        if left <= 0 then return nil end
        socket.select({ self.socket }, nil, left)
    end
end

--- A source for the parser: bytes as they come, each wait within this connection's limit.
local function source(self)
    local limit = socket.gettime() + self.seconds
    local function more(what)
        local got = fill(self, limit)
        if got then return end
        local why = got == nil and ("nothing more in %g s"):format(self.seconds) or "the connection ended: " .. self.ended
        error(("%s while reading %s; read so far: %q"):format(why, what, self.pending:sub(1, 300)), 0)
    end
    return {
        line = function(what)
            while true do
                local at = self.pending:find("\n", 1, true)
                if at then
                    local line = self.pending:sub(1, at)
                    self.pending = self.pending:sub(at + 1)
                    return line
                end
                more(what)
            end
        end,
        exactly = function(n, what)
            local parts, have = { self.pending }, #self.pending
            while have < n do
                self.pending = ""
                more(what)
                parts[#parts + 1] = self.pending
                have = have + #self.pending
            end
            local all = table.concat(parts)
            self.pending = all:sub(n + 1)
            return all:sub(1, n)
        end,
        to_end = function()
            local parts = { self.pending }
            while true do
                self.pending = ""
                local got = fill(self, limit)
                if got == nil then error("the connection was not closed at the end of the body", 0) end
                if not got then break end
                parts[#parts + 1] = self.pending
            end
            return table.concat(parts)
        end,
    }
end

local function parse(self, reader, argument)
    local ok, message = pcall(reader, source(self), argument)
    if not ok then error(message, 3) end
    return message
end

--- Reads one response. `method` is that of its request: "HEAD" has no body. Interim responses (1xx) are returned as any other.
---@return table response status, version, reason, fields, head (the raw bytes), body, framing; response:get(name)
function client:read(method) return parse(self, http_text.read_response, method) end

--- Reads only the head of a response; the body is then read with `read_bytes`, `read_chunk`.
function client:read_head() return parse(self, http_text.read_response_head) end

--- Reads one request (for scripted origins): method, target, version, fields, head, body; request:get(name).
function client:read_request() return parse(self, http_text.read_request) end

--- Reads one chunk of a chunked body: its bytes, "" for the last one (its trailer fields follow as the second value).
function client:read_chunk()
    local chunk = parse(self, http_text.read_chunk)
    return chunk.bytes, chunk.trailers
end

--- Reads exactly n bytes.
function client:read_bytes(n) return parse(self, function(from) return from.exactly(n, ("%d bytes"):format(n)) end) end

--- Reads until the peer closes: the bytes.
function client:read_to_end() return parse(self, function(from) return from.to_end() end) end

--- Waits for the peer's close; raises at any byte before it. A reset counts only when `reset` is true.
function client:expect_close(reset)
    local got = self.pending == "" and fill(self, socket.gettime() + self.seconds)
    if got == nil then error(("the connection is still open after %g s"):format(self.seconds), 2) end
    if got ~= false then error(("expected the close, got %q"):format(self.pending:sub(1, 300)), 2) end
    if self.ended ~= "closed" and not reset then error("expected a close, got: " .. self.ended, 2) end
end

--- Raises when a byte or a close comes within these seconds. For what must be held back; keep it short.
function client:expect_silence(seconds)
    if self.pending == "" and fill(self, socket.gettime() + seconds) == nil then return end
    error(("expected silence, got %s"):format(self.pending ~= "" and ("%q"):format(self.pending:sub(1, 300)) or self.ended), 2)
end

--- The text of a request: fields is a map or a list of { name, value }; Host and Content-Length are added when they are not there.
function M.request(method, target, fields, body) return http_text.request(method, target, fields, body) end

--- Sends a request and reads its response, with interim responses skipped.
function client:request(method, target, fields, body)
    self:send(http_text.request(method, target, fields, body))
    local response
    repeat response = self:read(method) until response.status >= 200 or response.status == 101
    return response
end

function client:get(target, fields) return self:request("GET", target, fields) end
function client:head(target, fields) return self:request("HEAD", target, fields) end
function client:post(target, body, fields) return self:request("POST", target, fields, body) end

--- Sends requests in one write and reads as many responses. Each is a target (GET), or a list { method, target, fields, body }.
---@return table[] responses in order
function client:pipeline(requests)
    local texts, responses = {}, {}
    for at, one in ipairs(requests) do
        texts[at] = type(one) == "string" and http_text.request("GET", one) or http_text.request(unpack(one, 1, 4))
    end
    self:send(table.concat(texts))
    for at, one in ipairs(requests) do responses[at] = self:read(type(one) == "table" and one[1] or "GET") end
    return responses
end

--- Ends this side's stream; the peer may still answer.
function client:shutdown() self.socket:shutdown("send") end

function client:close()
    open[self] = nil
    self.socket:close()
end

--- Closes with a reset: the peer sees ECONNRESET.
function client:reset()
    self.socket:setoption("linger", { on = true, timeout = 0 })
    self:close()
end

return M
