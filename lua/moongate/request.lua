--- The request as handlers see it: one object per slot, built once, refilled by C. Fields are read from the slot's memory when they are
--- asked for, and remembered until the request is over. What waits: text(), json(), form(), chunks(), save().
local ffi = require "ffi"
local abi = require "moongate.abi"
local await = require "moongate.await"
local pieces = require "moongate.pieces"
local alive = require("moongate.programs").alive
local query = require "moongate.query"
local cookies = require "moongate.cookies"

local M = {}

local C = abi.C
local str = ffi.string
local rawset, rawget, type, error = rawset, rawget, type, error
local EAGAIN = -11

local METHODS, METHOD_OTHER = {}, C.METHOD_OTHER
for name in ("GET HEAD POST PUT DELETE PATCH OPTIONS CONNECT TRACE PURGE PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK REPORT SEARCH QUERY")
    :gmatch("%u+") do
    METHODS[tonumber(C["METHOD_" .. name])] = name
end
M.METHODS = METHODS

--- ---- fields of the head ----

local Headers = {}

local function header(slot, name)
    local border = abi.border
    if C.mg_header(abi.worker, slot, name, #name, 0) == 1 then return str(border.text, border.text_bytes) end
    return nil
end

--- An underscore stands for a dash first: a client must not be able to put X_Real_IP in the place of X-Real-IP.
function Headers.__index(headers, name)
    if type(name) ~= "string" then return nil end
    if name:find("_", 1, true) then
        local value = header(headers[1], (name:gsub("_", "-")))
        if value then return value end
    end
    return header(headers[1], name)
end

function Headers.__newindex()
    error("req.headers is read-only; fields of the answer are set on the response", 2)
end

local Request = {}

--- `req.json()` where `req:json()` is meant.
local function check_self(self, name)
    if type(self) ~= "table" then error(("req.%s: it is called with a colon (write req:%s(…))"):format(name, name), 3) end
end

--- Every value of a field, in the order they came.
---@param name string
---@return string[]
function Request:header_values(name)
    check_self(self, "header_values")
    local values, border = {}, abi.border
    while C.mg_header(abi.worker, self._slot, name, #name, #values) == 1 do
        values[#values + 1] = str(border.text, border.text_bytes)
    end
    return values
end

--- All fields as a list of { name, value }, as they came.
---@return { [1]: string, [2]: string }[]
function Request:header_list()
    check_self(self, "header_list")
    local list, p = {}, self._p
    for at = 0, p.head.field_count - 1 do
        local line = p.head.fields[at]
        list[at + 1] = { str(p.bytes + line.name.at, line.name.bytes), str(p.bytes + line.value.at, line.value.bytes) }
    end
    return list
end

local function span(p, part) return str(p.bytes + part.at, part.bytes) end

--- Escapes in captures are decoded; most have none.
local function capture(p, at)
    local part = p.match.captures[at]
    local text = str(p.path + part.at, part.bytes)
    if text:find("%", 1, true) then return abi.decode(text) end
    return text
end

local function fill_params(req, names, p)
    local params = req._params
    local before = req._params_names
    if before ~= names then
        for at = 1, #before do rawset(params, before[at], nil) end
        rawset(req, "_params_names", names)
    end
    for at = 1, #names do rawset(params, names[at], capture(p, at - 1)) end
    return params
end

local Params = {
    __newindex = function(_, name)
        error(("req.params.%s cannot be set: keep what belongs to this request in req.state"):format(tostring(name)), 2)
    end,
}

local buffer = ffi.new("char[128]")

--- Ids: a random part for the worker, and a count.
local id_prefix, id_count
local function new_id()
    if not id_prefix then
        C.mg_random(buffer, 6)
        id_prefix = (str(buffer, 6):gsub(".", function(byte) return ("%02x"):format(byte:byte()) end))
        id_count = 0
    end
    id_count = id_count + 1
    return ("%s-%x"):format(id_prefix, id_count)
end

--- Computed fields. What they give is remembered for the request.
local FIELDS = {
    path = function(_, p) return str(p.path, p.path_bytes) end,
    target = function(_, p) return span(p, p.head.target) end,
    query_string = function(_, p) return span(p, p.head.query) end,
    authority = function(_, p) return span(p, p.head.authority) end,
    host = function(_, p)
        local text = span(p, p.head.authority):lower()
        return text:match("^(%[.*%])") or text:match("^[^:]*")
    end,
    port = function(_, p) return tonumber(span(p, p.head.authority):match(":(%d+)$")) end,
    version = function(_, p) return p.head.minor == 1 and "1.1" or "1.0" end,
    remote = function(req) return str(buffer, C.mg_remote(abi.worker, req._slot, 0, buffer, 128)) end,
    remote_port = function(req)
        local port = tonumber(str(buffer, C.mg_remote(abi.worker, req._slot, 1, buffer, 128)):match(":(%d+)$"))
        return port ~= 0 and port or nil -- of a client that a proxy speaks for it is not known
    end,
    id = function() return new_id() end,
    state = function() return {} end,
    query = function(req, p)
        if p.head.query.bytes == 0 then return {} end
        local values, message, status = query.parse(span(p, p.head.query))
        if not values then error({ status = status or 400, message = message }, 0) end
        return values
    end,
    cookies = function(req) return cookies.parse(req.headers.cookie or "") end,
    content_type = function(req) return req.headers["content-type"] end,
    content_length = function(req)
        local length = C.mg_body_length(abi.worker, req._slot)
        return length >= 0 and length or nil
    end,
}

M.FIELDS = FIELDS

local MEMO = { "path", "target", "query_string", "authority", "host", "port", "version", "remote", "remote_port", "id", "state", "query",
    "cookies", "content_type", "content_length", "_text", "_reading", "_failed", "_extended", "_erring", "_keep", "_reader", "_steered" }

local MT = {}

--- A name that a request does not have. Our own fields begin with "_" and may be absent.
local function missing(key, extensions)
    if type(key) == "string" and key:byte() == 95 then return nil end
    local others = {}
    for name in pairs(extensions) do others[#others + 1] = name end
    local message, hint = require("moongate.names").missing("req", key, others)
    error(("%s (%s)"):format(message, hint), 2) -- called as the last thing of __index
end

function MT.__index(req, key)
    -- Not fields of the table itself: assigning them must fail, or the next request in this slot would have them.
    if key == "headers" then return req._headers end
    local p = req._p
    if key == "scheme" then return p.flags % 32 >= 16 and "https" or "http" end -- MG_REQ_TLS
    if key == "method" then
        local number = p.head.method
        if number == METHOD_OTHER then return span(p, p.head.method_text) end
        return METHODS[number]
    end
    if key == "params" then return fill_params(req, alive[p.program].names[p.match.route] or M.NO_NAMES, p) end
    local method = Request[key]
    if method then return method end
    local field = FIELDS[key]
    if field then
        local value = field(req, p)
        rawset(req, "_used", true)
        rawset(req, key, value)
        return value
    end
    local extension = alive[p.program].app.extensions[key]
    if extension then
        local kept = rawget(req, "_extended")
        if not kept then
            kept = {}
            rawset(req, "_used", true)
            rawset(req, "_extended", kept)
        end
        if kept[key] == nil then kept[key] = { extension(req) } end
        return kept[key][1]
    end
    return missing(key, alive[p.program].app.extensions)
end

function MT.__newindex(_, key)
    error(("req.%s cannot be set: keep what belongs to this request in req.state"):format(tostring(key)), 2)
end

M.NO_NAMES = {}

local function dead(what)
    return {
        __index = function(_, key)
            error(("%s.%s: this request is over; copy what a task needs before it goes on alone"):format(what, tostring(key)), 2)
        end,
        __newindex = function() error("this request is over", 2) end,
    }
end
local Dead, DeadHeaders, DeadResult = dead "req", dead "headers", dead "res"

local function kill(object, class)
    for key in pairs(object) do rawset(object, key, nil) end
    setmetatable(object, class)
end

--- ---- content ----

local MESSAGES = {
    [-400] = "the content is malformed", [-408] = "the content did not arrive in time", [-413] = "the content is too long",
    [-32] = "the client left before its content was whole",
}

--- The next piece of content, nil at the end; or nil, message, status. C wakes one reader: a second one would wait for ever.
local function next_piece(req)
    local worker, slot, reader = abi.worker, req._slot, rawget(req, "_reader")
    if reader and await.is_waiting(reader) then error("the content is being read by another task", 0) end
    while true do
        local token = await.token()
        local bytes = C.mg_body_read(worker, slot, token)
        if bytes > 0 then return str(abi.border.text, bytes) end
        if bytes == 0 then return nil end
        if bytes ~= EAGAIN then
            local status = bytes == -32 and 400 or -bytes
            rawset(req, "_used", true)
            rawset(req, "_failed", status)
            return nil, MESSAGES[bytes] or "the content cannot be read", status
        end
        rawset(req, "_reader", token)
        await.wait("body")
    end
end

local function begin_reading(req, how)
    local reading = rawget(req, "_reading")
    if reading then error(("req:%s(): the content was taken by req:%s() already"):format(how, reading), 3) end
    rawset(req, "_used", true)
    rawset(req, "_reading", how)
end

--- The content piece by piece: `for piece in req:chunks() do … end`. A failure raises with its status unless it is asked for:
--- `local next = req:chunks(); local piece, message, status = next()`.
---@return fun(): string?, string?, integer?
function Request:chunks()
    check_self(self, "chunks")
    begin_reading(self, "chunks")
    return pieces.iterator(next_piece, self)
end

local string_buffer = require "string.buffer"

--- The whole content as a string, "" when there is none; or nil, message, status (413 beyond `limit` bytes).
---@param limit? integer|string instead of the route's
function Request:text(limit)
    check_self(self, "text")
    local known = rawget(self, "_text")
    if known then return known end
    begin_reading(self, "text")
    if limit then
        local bytes, why = require("moongate.units").size(limit)
        if not bytes then error("req:text: " .. why, 2) end
        if C.mg_body_limit(abi.worker, self._slot, bytes) < 0 then
            rawset(self, "_failed", 413)
            return nil, MESSAGES[-413], 413
        end
    end
    local piece, message, status = next_piece(self)
    if status then return nil, message, status end
    local first, buffered = piece or "", nil
    while piece do
        piece, message, status = next_piece(self)
        if status then return nil, message, status end
        if piece then
            buffered = buffered or string_buffer.new():put(first)
            buffered:put(piece)
        end
    end
    local text = buffered and buffered:tostring() or first
    rawset(self, "_text", text)
    return text
end

--- The content as JSON; or nil, message, status (400 for what is not JSON).
function Request:json(limit)
    check_self(self, "json")
    local text, message, status = self:text(limit)
    if not text then return nil, message, status end
    return require("moongate.json").decode(text)
end

--- Fields of a form, urlencoded or multipart, and its files; or nil, message, status (415 for another type).
---@return table<string, string>? fields
---@return table<string, table>? files
function Request:form(options)
    check_self(self, "form")
    return require("moongate.form").read(self, options)
end

--- The parts of a multipart form one after the other, as they arrive; or nil, message, status.
function Request:parts()
    check_self(self, "parts")
    return require("moongate.form").parts(self)
end

--- The content inflated as Content-Encoding says (gzip, deflate), at most `limit` bytes of it: an iterator like chunks().
function Request:inflated(limit)
    check_self(self, "inflated")
    return require("moongate.form").inflated(self, limit)
end

--- Writes content to a file as it arrives. The bytes written; or nil, message, status. What was written of a failed one is removed.
---@param path string
function Request:save(path)
    check_self(self, "save")
    begin_reading(self, "save")
    return require("moongate.spool").write(path, pieces.iterator(next_piece, self))
end

--- Passes this request on to an upstream, and waits for the head of the response: a value to look at, and to return; or nil, message, code.
--- Content that was not read goes along as it comes, once; what was read by text() can be sent again.
---@param target moongate.Upstream|string|table an upstream, or what mg.proxy() made
---@param options? table as of mg.proxy
---@return moongate.Fetched?
function Request:forward(target, options)
    check_self(self, "forward")
    local descriptor = require "moongate.descriptor"
    local made = descriptor.is(target) and target or descriptor.proxy(target, options)
    return require("moongate.proxied").forward(alive[self._p.program].app, self, made)
end

--- Sends a copy of this request to another upstream, and drops its response. Content that was not read is read for it, whole. true; or nil,
--- message, code ("busy": too many copies are on their way).
---@param upstream moongate.Upstream|string|table
---@return true?
function Request:mirror(upstream)
    check_self(self, "mirror")
    return require("moongate.mirror").send(self, upstream)
end

--- ---- other ----

--- Has the client left?
function Request:is_gone()
    check_self(self, "is_gone")
    return self._p.flags % 2 == 1
end

--- Calls `fn(req)` after the last byte of the answer, also when the client has gone.
function Request:on_done(fn)
    check_self(self, "on_done")
    if type(fn) ~= "function" then error("req:on_done: expected a function", 2) end
    local hooks = self._hooks
    if not hooks then
        hooks = {}
        rawset(self, "_hooks", hooks)
        rawset(self, "_used", true)
        -- At once: the answer may have begun already, and the slot goes with its end.
        if not self._held and C.mg_hold(abi.worker, self._slot, 0) >= 0 then rawset(self, "_held", "waiting") end
    end
    hooks[#hooks + 1] = fn
end

--- The first of the offered media types that the client likes best: `req:accepts("json", "html")`; nil: none.
function Request:accepts(...)
    check_self(self, "accepts")
    return require("moongate.negotiate").accepts(self.headers.accept, { ... })
end

M.Request = Request

--- ---- objects ----

local function new(slot)
    local req = {
        _slot = slot, _p = C.mg_request(abi.worker, slot), _headers = setmetatable({ slot }, Headers),
        _used = false, _hooks = false, _held = false, _res = false, _params = setmetatable({}, Params), _params_names = M.NO_NAMES, _shared = false,
    }
    return setmetatable(req, MT)
end

--- By slot.
M.objects = setmetatable({}, {
    __index = function(objects, slot)
        local req = new(slot)
        rawset(objects, slot, req)
        return req
    end,
})

--- The request is over: forget what was remembered for it.
function M.reset(req)
    if req._shared then -- a task of its own may still hold it
        rawset(M.objects, req._slot, nil)
        if req._res then
            kill(req._res._headers, DeadHeaders)
            kill(req._res, DeadResult)
        end
        kill(req._headers, DeadHeaders)
        return kill(req, Dead)
    end
    for at = 1, #MEMO do rawset(req, MEMO[at], nil) end
    rawset(req, "_hooks", false)
    rawset(req, "_held", false)
    rawset(req, "_used", false)
end

--- A task that may outlive the request that runs now is begun: that request's object will not be used for another.
function M.share()
    local req = M.running()
    if req then
        rawset(req, "_used", true)
        rawset(req, "_shared", true)
    end
end

--- The object of the request that runs now, or nil. Hooks after the answer run in a task that has it.
function M.running()
    local border = abi.border
    if not border then return nil end
    if border.current >= 0 then return M.objects[border.current] end
    local task = await.current()
    return task and task.request
end

return M
