--- The response that a filter gets from next(req), one object per slot, and the header fields of an answer: what scripts set goes to C at once,
--- which checks it.
local ffi = require "ffi"
local abi = require "moongate.abi"
local alive = require("moongate.programs").alive
local failures = require "moongate.failure"
local fetched = require "moongate.fetched"
local json = require "moongate.json"
local proxied = require "moongate.proxied"
local request = require "moongate.request"

local M = {}

local C = abi.C
local type, error, rawset, setmetatable = type, error, rawset, setmetatable
local SET, ADD, REMOVE, DROP = C.MG_FIELD_SET, C.MG_FIELD_ADD, C.MG_FIELD_REMOVE, C.MG_FIELD_DROP
local NONE, ERROR = C.MG_CONTENT_NONE, C.MG_LOG_ERROR

local REASONS = { [-22] = "has bytes that must not be in a header field, or is the gateway's own to send", [-7] = "is too long",
    [-114] = "comes too late: the answer has begun" }

--- `level`: whom an error points at, as error() counts it in the caller; 0: nobody's line, as the log names the route.
local function set_one(slot, name, value, mode, level)
    local at = level > 0 and level + 1 or 0
    if type(value) == "number" then value = tostring(value) end
    if type(value) ~= "string" or type(name) ~= "string" then
        error(("header %q: expected a string, got %s"):format(tostring(name), type(value)), at)
    end
    local rc = C.mg_field_set(abi.worker, slot, name, #name, value, #value, mode)
    if rc < 0 then error(("header %q %s"):format(name, REASONS[rc] or "cannot be set"), at) end
end

--- `remove`: how one is taken away, REMOVE unless an upstream may still bring it.
local function set_field(slot, name, value, level, remove)
    remove = remove or REMOVE
    local at = level > 0 and level + 1 or 0
    if value == nil then
        C.mg_field_set(abi.worker, slot, name, #name, "", 0, remove)
    elseif type(value) == "table" then
        if value[1] == nil then
            local what = next(value) == nil and "an empty table" or "a table of names"
            error(("header %q: expected a string or a list of strings, got %s"):format(tostring(name), what), at)
        end
        C.mg_field_set(abi.worker, slot, name, #name, "", 0, remove)
        for i = 1, #value do set_one(slot, name, value[i], ADD, at) end
    else
        set_one(slot, name, value, SET, at)
    end
end

local function set_fields(slot, headers)
    for name, value in pairs(headers) do set_field(slot, name, value, 0) end
end

local function set_cookie(req, name, value, options)
    local line, message = require("moongate.cookies").render(name, value, options, req.scheme == "https")
    if not line then error(message, 0) end
    set_one(req._slot, "set-cookie", line, ADD, 0)
end

--- name = "value", or name = { "value", path = …, … }.
local function set_cookies(req, list)
    for name, given in pairs(list) do
        local value, options = given, nil
        if type(given) == "table" then
            options = {}
            for key, option in pairs(given) do options[key] = option end
            value = options[1] or options.value
            options[1], options.value = nil, nil
        end
        set_cookie(req, name, value, options)
    end
end

--- What a filter gets from next(req): status, body, headers. One per slot.
local Result, methods = {}, {}

--- A proxied answer is sent on in C unless somebody wants to see it: then its head is waited for, and its fields are the answer's, but for
--- those that were set before. When the upstream fails, the answer is an error.
local function look(res)
    local req = request.objects[res._slot]
    res._lazy = false
    local response, message, status = proxied.forward(alive[req._p.program].app, req, res._rest)
    if response then
        proxied.take_fields(req, response)
        res._rest = response
        if rawget(res, "status") == nil then rawset(res, "status", response.status) end
        return
    end
    if status ~= "gone" then C.mg_log(abi.worker, ERROR, message, #message) end
    status = type(status) == "number" and status or 503
    res._rest = failures.new(status, nil, message)
    rawset(res, "status", status)
end
M.look = look

local Headers = {}
function Headers.__index(headers, name)
    if type(name) ~= "string" then return nil end
    if headers[2]._lazy then look(headers[2]) end
    local border = abi.border
    if C.mg_field_get(abi.worker, headers[1], name, #name, 0) == 1 then return ffi.string(border.text, border.text_bytes) end
    return nil
end
function Headers.__newindex(headers, name, value)
    set_field(headers[1], name, value, 2, DROP)
end

local RESULT_FIELDS = { status = true, body = true }
function Result.__index(res, key)
    if key == "headers" then return res._headers end
    if key == "status" and rawget(res, "_lazy") then -- absent until it has come
        look(res)
        return rawget(res, "status")
    end
    return methods[key]
end
function Result.__newindex(res, key, value)
    if RESULT_FIELDS[key] then return rawset(res, key, value) end -- it was set to nil before
    if key == "headers" then
        if type(value) ~= "table" then error("res.headers: expected a table of header fields, got " .. type(value), 2) end
        if value == res._headers then return end
        if res._lazy then look(res) end
        C.mg_fields_clear(abi.worker, res._slot)
        for name, field in pairs(value) do set_field(res._slot, name, field, 2) end
        return
    end
    error(("a response has status, body and headers; %q is none of them (req.state keeps what belongs to a request)"):format(tostring(key)), 2)
end

--- Adds one more field of that name, e.g. another Set-Cookie.
function methods:add_header(name, value) set_one(self._slot, name, value, ADD, 2) end
--- Sets a cookie, with safe defaults.
function methods:set_cookie(name, value, options)
    set_cookie(request.objects[self._slot], name, value, options)
end

--- Changes the content piece by piece: `fn(piece, is_end)` returns what is sent instead, nil for nothing, and may wait. It is called once more
--- after the last piece, with "" and true. Pieces are bytes as they come: compressed content stays compressed.
---@param fn fun(piece: string, is_end: boolean): string?
function methods:map(fn)
    if type(fn) ~= "function" then error("res:map: expected a function(piece, is_end), got " .. type(fn), 2) end
    self._maps = self._maps or {}
    self._maps[#self._maps + 1] = fn
end

--- The content as a string, which the answer then is made of; or nil, message, code. Of a proxied answer it is waited for, at most `limit`
--- bytes of it (8 MiB unless told).
---@param limit? integer|string
function methods:text(limit)
    if self._lazy then look(self) end
    local rest, body = self._rest, self.body
    if type(body) == "string" then return body end
    if type(body) == "table" then return json.encode(body) end
    if not fetched.is(rest) then return "" end
    local text, message, code = rest:text(limit)
    if not text then return nil, message, code end
    self.body, self._content = text, NONE
    return text
end

--- The content as JSON; or nil, message, code.
---@param limit? integer|string as of text()
function methods:json(limit)
    if type(self.body) == "table" then return self.body end
    local text, message, code = self:text(limit)
    if not text then return nil, message, code end
    return json.decode(text)
end

--- The response object of a request.
function M.of(req)
    local res = req._res
    if not res then
        res = setmetatable({ _slot = req._slot, _headers = false, status = 200, body = false, _content = false, _rest = false, _lazy = false,
            _maps = false }, Result)
        res._headers = setmetatable({ req._slot, res }, Headers)
        rawset(req, "_res", res)
    end
    return res
end

M.Result, M.set_one, M.set_field, M.set_fields, M.set_cookies = Result, set_one, set_field, set_fields, set_cookies

return M
