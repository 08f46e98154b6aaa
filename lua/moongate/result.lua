--- The response that a filter gets from next(req), one object per slot, and the header fields of an answer: what scripts set goes to C at once,
--- which checks it.
local ffi = require "ffi"
local abi = require "moongate.abi"
local request = require "moongate.request"

local M = {}

local C = abi.C
local type, error, rawset, setmetatable = type, error, rawset, setmetatable
local SET, ADD, REMOVE = C.MG_FIELD_SET, C.MG_FIELD_ADD, C.MG_FIELD_REMOVE

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

local function set_field(slot, name, value, level)
    local at = level > 0 and level + 1 or 0
    if value == nil then
        C.mg_field_set(abi.worker, slot, name, #name, "", 0, REMOVE)
    elseif type(value) == "table" then
        if value[1] == nil then
            local what = next(value) == nil and "an empty table" or "a table of names"
            error(("header %q: expected a string or a list of strings, got %s"):format(tostring(name), what), at)
        end
        C.mg_field_set(abi.worker, slot, name, #name, "", 0, REMOVE)
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
local Headers = {}
function Headers.__index(headers, name)
    if type(name) ~= "string" then return nil end
    local border = abi.border
    if C.mg_field_get(abi.worker, headers[1], name, #name, 0) == 1 then return ffi.string(border.text, border.text_bytes) end
    return nil
end
function Headers.__newindex(headers, name, value)
    set_field(headers[1], name, value, 2)
end

local Result, methods = {}, {}
local RESULT_FIELDS = { status = true, body = true, _content = true, _rest = true }
function Result.__index(res, key)
    if key == "headers" then return res._headers end
    return methods[key]
end
function Result.__newindex(res, key, value)
    if RESULT_FIELDS[key] then return rawset(res, key, value) end -- it was set to nil before
    if key == "headers" then
        if type(value) ~= "table" then error("res.headers: expected a table of header fields, got " .. type(value), 2) end
        if value == res._headers then return end
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

--- The response object of a request.
function M.of(req)
    local res = req._res
    if not res then
        res = setmetatable({ _slot = req._slot, _headers = setmetatable({ req._slot }, Headers), status = 200, body = false, _content = false,
            _rest = false }, Result)
        rawset(req, "_res", res)
    end
    return res
end

M.Result, M.set_one, M.set_field, M.set_fields, M.set_cookies = Result, set_one, set_field, set_fields, set_cookies

return M
