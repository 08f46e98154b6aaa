--- Answers as values: `mg.html` and its kin make a Response, which response.lua turns into bytes. In: what a handler wants to say; misuse
--- raises at its line. Out: a value that may be returned, passed to a filter, or kept and returned again.
local abi = require "moongate.abi"
local caller = require "moongate.caller"
local json = require "moongate.json"

local M = {}

local C = abi.C
local NONE, TEXT, HTML, JSON, BYTES, EVENTS =
    C.MG_CONTENT_NONE, C.MG_CONTENT_TEXT, C.MG_CONTENT_HTML, C.MG_CONTENT_JSON, C.MG_CONTENT_BYTES, C.MG_CONTENT_EVENTS

---@class moongate.Response
---@field status? integer
---@field body? string|table
---@field content? integer
---@field headers? table<string, string|string[]>
---@field cookies? table<string, string|table>
---@field stream? fun(out: table)
---@field events? fun(events: table)
---@field file? string
---@field type? string
---@field reason? string
local Response = {}
Response.__index = Response
M.Response = Response

--- Is this such a value?
function M.is(value) return getmetatable(value) == Response end

local function with_options(made, status, headers, what)
    if status ~= nil and (type(status) ~= "number" or status < 200 or status > 599 or status % 1 ~= 0) then
        caller.raise(("%s: expected a status from 200 to 599, got %s"):format(what, tostring(status)))
    end
    if headers ~= nil and type(headers) ~= "table" then caller.raise(what .. ": expected a table of header fields") end
    made.status, made.headers = status, headers
    return setmetatable(made, Response)
end

local function text_maker(content, what)
    return function(body, status, headers)
        if type(body) ~= "string" then caller.raise(("%s: expected a string, got %s"):format(what, type(body))) end
        return with_options({ body = body, content = content }, status, headers, what)
    end
end

--- `mg.text(body, status, headers)` and `mg.html(…)`.
M.text, M.html = text_maker(TEXT, "mg.text"), text_maker(HTML, "mg.html")

--- Any value as JSON, also a string or a number.
function M.json(value, status, headers)
    local text, message = json.encode(value)
    if not text then caller.raise("mg.json: " .. message) end
    return with_options({ body = text, content = JSON }, status, headers, "mg.json")
end

--- Sends the client elsewhere.
---@param to string
---@param status? integer 302
function M.redirect(to, status)
    if type(to) ~= "string" or to:find("[%c ]") then caller.raise("mg.redirect: expected a URL without spaces or controls") end
    status = status or 302
    if status ~= 301 and status ~= 302 and status ~= 303 and status ~= 307 and status ~= 308 then
        caller.raise("mg.redirect: expected a status of 301, 302, 303, 307 or 308")
    end
    return setmetatable({ status = status, content = NONE, body = "", headers = { location = to } }, Response)
end

--- A streamed answer: `fn(out)` writes it; `out:write` waits when the client is slow.
---@param fn fun(out: moongate.Out)
---@param options? { status?: integer, headers?: table, type?: string, length?: integer }
function M.stream(fn, options)
    if type(fn) ~= "function" then caller.raise("mg.stream: expected a function(out)") end
    options = options or {}
    local length = options.length
    if length ~= nil and (type(length) ~= "number" or length < 0 or length > 2 ^ 53 or length % 1 ~= 0) then
        caller.raise("mg.stream: length: expected a number of bytes, got " .. tostring(length))
    end
    local made = with_options({ stream = fn, content = options.type and NONE or BYTES, length = length }, options.status,
        options.headers, "mg.stream")
    made.type = options.type
    return made
end

--- Server-sent events: `fn(events)`, with `events:send("text")` or `events:send { event =, data =, id =, retry = }`.
function M.sse(fn, options)
    if type(fn) ~= "function" then caller.raise("mg.sse: expected a function(events)") end
    options = options or {}
    local made = with_options({ events = fn, content = EVENTS }, options.status, options.headers, "mg.sse")
    local headers, own = { ["cache-control"] = "no-store" }, options.headers or {}
    for name, value in pairs(own) do headers[type(name) == "string" and name:lower() or name] = value end
    made.headers = headers
    return made
end

--- A file. The type is told by its name unless `type` says it.
function M.file(path, options)
    if type(path) ~= "string" or path == "" then caller.raise("mg.file: expected a path") end
    options = options or {}
    local made = with_options({ file = path }, options.status, options.headers, "mg.file")
    made.type = options.type
    return made
end

local RESPOND = { status = true, body = true, headers = true, cookies = true, type = true, reason = true }

--- Everything at once: `mg.respond { status = 201, body = …, headers = …, cookies = …, type = "text/csv", reason = "Made" }`.
function M.respond(fields)
    if type(fields) ~= "table" then caller.raise("mg.respond: expected a table") end
    for key in pairs(fields) do
        if not RESPOND[key] then caller.raise(("mg.respond: unknown key %q (known: status, body, headers, cookies, type, reason)"):format(tostring(key))) end
    end
    local made = with_options({ body = fields.body, cookies = fields.cookies, reason = fields.reason }, fields.status, fields.headers, "mg.respond")
    made.type = fields.type
    return made
end

return M
