--- An engine and a proxy room driven from a spec, as the gate drives them: turn, events of the engine, events of the room.
---
---     local d = driver.new()
---     local api = d:open("api", origin.address)
---     local x = d:begin(api, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
---     d:run(x)                    -- until it has ended: x.status, x.fields, x.content, x.ended ("end", "failed", "broken"), x.sentence
local ffi = require "ffi"
local c = require "t.support.c"
c.header("net/net.h", "http/head.h", "proxy/exchange.h", "proxy/terms.h")
local lib = c.lib()
lib.http_head_select(0)

local M = {}
local driver = {}
driver.__index = driver
local living = {}
local GUARD, USER = 0xfffffff, 1000

local function slice(text)
    return ffi.new("struct slice", { text or "", text and #text or 0 })
end

--- `options`: of struct proxy_options; `net`: of struct net_options.
function M.new(options, net)
    local message = ffi.new("char[512]")
    local n = { connections = 256, buffer_bytes = 16 * 1048576 }
    for key, value in pairs(net or {}) do n[key] = value end
    local self = setmetatable({ exchanges = {}, users = 0, event = ffi.new("struct net_event"), out = ffi.new("struct proxy_event") }, driver)
    self.net = lib.net_new(ffi.new("struct net_options", n), message, 512)
    assert(self.net ~= nil, ffi.string(message))
    local o = { user = USER }
    for key, value in pairs(options or {}) do o[key] = value end
    self.proxy = lib.proxy_new(self.net, ffi.new("struct proxy_options", o))
    living[self] = true
    return self
end

function driver:close()
    if not living[self] then return end
    living[self] = nil
    lib.proxy_free(self.proxy)
    lib.net_free(self.net)
end

--- For `after_each`.
function M.sweep()
    for d in pairs(living) do d:close() end
end

--- Opens an upstream: handle, or nil, message, errno.
function driver:open(name, servers)
    local message = ffi.new("char[512]")
    local handle = lib.proxy_upstream_open(self.proxy, slice(name), slice(servers), message, 512)
    if handle < 0 then return nil, ffi.string(message), handle end
    return handle
end

--- A way of forwarding, by its lines: a handle.
function driver:terms(lines)
    local handle = lib.proxy_terms_open(self.proxy, slice(lines))
    assert(handle >= 0, handle)
    return handle
end

local function request_of(text, o)
    local bytes = ffi.new("char[?]", #text + 64)
    ffi.copy(bytes, text, #text)
    local scan, progress, head = ffi.new("struct http_scan"), ffi.new("struct http_head_progress"), ffi.new("struct http_head")
    local reason = ffi.new("const char *[1]")
    lib.http_scan_begin(scan, bytes, #text)
    local n = lib.http_request_parse(scan, 0, ffi.new("struct http_head_limits", { 60000, 61440, 128 }), progress, head, reason)
    assert(n == #text, n < 0 and ffi.string(reason[0]) or "the head is not whole")
    local request = ffi.new("struct proxy_request")
    request.head, request.base = head, bytes
    request.client, request.scheme = slice(o.client or "10.9.8.7"), slice("http")
    local chunked, length = bit.band(head.flags, ffi.C.HEAD_CHUNKED) ~= 0, tonumber(head.content_length)
    request.body_kind = chunked and ffi.C.BODY_CHUNKED or length >= 0 and ffi.C.BODY_LENGTH or ffi.C.BODY_NONE
    request.length = math.max(length, 0)
    request.terms, request.path = o.terms or 0, slice(o.path)
    for _, flag in ipairs { "trailers", "interims", "upgrades" } do request[flag] = o[flag] and 1 or 0 end
    return request, head, bytes
end

--- A request that is not sent, for lib.proxy_server_next(); what it points into lives as long as the driver.
function driver:request(text, options)
    local request, head, bytes = request_of(text, options or {})
    self.lent = self.lent or {}
    table.insert(self.lent, { request, head, bytes })
    return request
end

--- Begins an exchange: its record, or nil and the error. The head is wire text.
function driver:begin(upstream, text, options)
    local request, head, bytes = request_of(text, options or {})
    local number = ffi.new("uint32_t[1]")
    request.server = slice((options or {}).server)
    self.users = self.users + 1
    local error = lib.proxy_begin(self.proxy, upstream, request, self.users, number)
    assert(head ~= nil and bytes ~= nil)
    if error < 0 then return nil, error end
    local x = { number = number[0], user = self.users, content = {}, writable = 0, pieces = 0 }
    self.exchanges[x.user] = x
    return x
end

--- Content for an exchange: bytes waiting, or a negative errno.
function driver:send(x, text, last)
    return lib.proxy_send(self.proxy, x.number, text or "", text and #text or 0, last and 1 or 0)
end

function driver:abort(x)
    lib.proxy_abort(self.proxy, x.number)
end

local function fields_of(event)
    local fields = {}
    for i = 0, event.head.field_count - 1 do
        if lib.forward_set_has(event.skip, i) == 0 then
            local f = event.head.fields[i]
            fields[ffi.string(event.bytes + f.name.at, f.name.bytes):lower()] = ffi.string(event.bytes + f.value.at, f.value.bytes)
        end
    end
    return fields
end

local take = {
    [ffi.C.PROXY_HEAD] = function(x, event)
        assert(not x.status, "a second head")
        x.status, x.fields, x.body_kind, x.length = event.status, fields_of(event), event.body_kind, tonumber(event.length)
    end,
    [ffi.C.PROXY_INTERIM] = function(x, event)
        assert(not x.status, "an interim response behind the final one")
        x.interim = x.interim or {}
        table.insert(x.interim, { status = event.status, fields = fields_of(event) })
    end,
    [ffi.C.PROXY_TRAILERS] = function(x, event)
        assert(x.status and not x.trailers)
        x.trailers = fields_of(event)
    end,
    [ffi.C.PROXY_CONTENT] = function(x, event)
        assert(x.status and event.count > 0)
        x.content[#x.content + 1] = ffi.string(event.bytes, event.count)
        x.pieces = x.pieces + 1
        if x.on_content then x.on_content(x) end
    end,
    [ffi.C.PROXY_END] = function(x) x.ended = "end" end,
    [ffi.C.PROXY_FAILED] = function(x, event)
        assert(not x.status, "FAILED after a head")
        x.ended, x.status, x.sentence = "failed", event.status, ffi.string(event.bytes, event.count)
    end,
    [ffi.C.PROXY_BROKEN] = function(x, event)
        assert(x.status, "BROKEN before a head")
        x.ended, x.sentence = "broken", ffi.string(event.bytes, event.count)
    end,
    [ffi.C.PROXY_WRITABLE] = function(x) x.writable = x.writable + 1 end,
}

--- Takes what the room has to tell.
function driver:drain()
    while lib.proxy_event_next(self.proxy, self.out) ~= 0 do
        local x = assert(self.exchanges[self.out.user], "an event of nobody")
        assert(x.number == self.out.exchange and not x.ended, "an event after the last one")
        take[self.out.kind](x, self.out)
        if x.ended then
            x.content = table.concat(x.content)
            self.exchanges[x.user] = nil
        end
    end
end

--- One turn of the engine with all that follows. False: the guard timer was the event.
function driver:turn(wait)
    local in_time = true
    assert(lib.net_turn(self.net, wait or 1) == 0)
    while lib.net_event_next(self.net, self.event) ~= 0 do
        if self.event.kind == ffi.C.NET_TIMER and self.event.user == GUARD then
            in_time = false
        elseif self.event.kind >= ffi.C.NET_TIMER and self.event.user >= USER and self.event.user <= USER + ffi.C.PROXY_USERS
            or self.event.role == ffi.C.ROLE_UPSTREAM and self.event.kind <= ffi.C.NET_CLOSED then
            lib.proxy_on_net(self.proxy, self.event)
        end
        self:drain()
    end
    return in_time
end

--- Turns until `done` (an exchange: it has ended; or a function: it says so), at most five seconds.
function driver:run(done)
    local is_done = type(done) == "function" and done or function() return done.ended end
    local guard = lib.net_timer_start(self.net, 5000, GUARD, 0)
    self:drain()
    while not is_done() do
        if not self:turn() then error("it did not happen within five seconds", 2) end
    end
    lib.net_timer_stop(self.net, guard)
    return done
end

--- Turns for so long, by a timer of the engine.
function driver:pass(ms)
    local timer = lib.net_timer_start(self.net, ms, GUARD, 0)
    assert(timer >= 0)
    while self:turn() do end
end

--- What it would write to the log, so far.
function driver:notices()
    local lines = {}
    while true do
        local text = lib.proxy_notice(self.proxy)
        if text == nil then return lines end
        lines[#lines + 1] = ffi.string(text)
    end
end

--- Labels of the servers that an upstream has now.
function driver:labels(upstream)
    local labels = {}
    for at = 0, 63 do
        local facts = self:server(upstream, at)
        if facts then labels[#labels + 1] = ffi.string(facts.label.at, facts.label.bytes) end
    end
    table.sort(labels)
    return labels
end

function driver:facts()
    local facts = ffi.new("struct proxy_facts")
    lib.proxy_facts(self.proxy, facts)
    return facts
end

function driver:server(upstream, index)
    local facts = ffi.new("struct proxy_server_facts")
    local error = lib.proxy_server_facts(self.proxy, upstream, index or 0, facts)
    if error ~= 0 then return nil, error end
    return facts
end

return M
