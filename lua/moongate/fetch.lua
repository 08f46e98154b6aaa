--- `mg.fetch(url, options)`: requests that scripts make. In: a URL and options, checked by the schema below; out: a response (fetched.lua), or
--- nil, message, code. It goes through the same pools and the same exchange as what is proxied; what is here is the request, its content on
--- the way up, redirects, and the time that all of it may take.
local ffi = require "ffi"
local abi = require "moongate.abi"
local await = require "moongate.await"
local caller = require "moongate.caller"
local fetched = require "moongate.fetched"
local handles = require "moongate.handles"
local json = require "moongate.json"
local origins = require "moongate.origins"
local programs = require "moongate.programs"
local proxy_options = require "moongate.proxy_options"
local query = require "moongate.query"
local schema = require "moongate.schema"
local upstream = require "moongate.upstream"
local url = require "moongate.url"

local M = {}

local C = abi.C
local NONE, TOO_MANY = 4294967295, -24
local TOTAL_MS, REDIRECTS, DAY = 60000, 5, 86400000
local NO_CONTENT, CHUNKED = -2, -1
local PIECE = 16384 -- of a long string on its way up

--- ---- options ----

local anything = { expected = "a value", takes = { string = true, number = true, boolean = true, table = true, userdata = true },
    check = function(value) return value end }

local method = schema.custom('a method such as "POST"', { "string" }, function(value)
    if type(value) ~= "string" or not value:match("^[%w!#$%%&'*+.^_`|~-]+$") or value == "CONNECT" then return nil end
    return value
end)

--- What the gateway writes by itself, or what speaks of a connection.
local OWN = { ["content-length"] = true, ["transfer-encoding"] = true, connection = true, ["keep-alive"] = true, upgrade = true, te = true,
    trailer = true, expect = true, ["proxy-connection"] = true }

local function field_fault(name, value)
    if type(name) ~= "string" or not name:match("^[%w!#$%%&'*+.^_`|~-]+$") then return "is no name of a header field" end
    if OWN[name:lower()] then return "is the gateway's own to send" end
    if type(value) ~= "string" and type(value) ~= "number" then return "expected a string, or a list of strings" end
    if tostring(value):find("[%z\1-\8\10-\31\127]") then return "has bytes that must not be in a header field" end
    return nil
end

--- { name = value or list } as a list of { name, value }, by name.
local headers = schema.custom("a table of header fields", { "table" }, function(given)
    if type(given) ~= "table" then return nil end
    local list = {}
    for name, value in pairs(given) do
        for _, one in ipairs(type(value) == "table" and value or { value }) do
            local wrong = field_fault(name, one)
            if wrong then return nil, ("header %s: %s"):format(schema.shown(name), wrong) end
            list[#list + 1] = { name, tostring(one) }
        end
    end
    table.sort(list, function(a, b) return a[1]:lower() < b[1]:lower() end)
    return list
end)

local content = schema.custom("a string or a function that returns pieces", { "string", "function" }, function(value)
    if type(value) == "string" or type(value) == "function" then return value end
    return nil
end)

local socket = schema.custom('the path of a Unix socket, such as "/run/app.sock"', { "string" }, function(value)
    if type(value) ~= "string" or value:sub(1, 1) ~= "/" then return nil end
    return value
end)

local arguments = schema.custom("a table or a string of arguments", { "table", "string" }, function(value)
    if type(value) == "table" then return query.build(value) end
    return type(value) == "string" and value or nil
end)

local target = { expected = "an upstream, or its servers", takes = { table = true, string = true },
    check = function(value) return upstream.from(value, "mg.fetch") end }

local FIELDS = {
    { name = "method", type = method },
    { name = "headers", type = headers },
    { name = "body", type = content },
    { name = "json", type = anything },
    { name = "form", type = arguments },
    { name = "query", type = arguments },
    { name = "length", type = schema.count(0, 2 ^ 53) },
    { name = "redirects", type = schema.either { schema.only(false), schema.count(0, 20) } },
    { name = "max", type = schema.size(0, 2 ^ 40) },
    { name = "upstream", type = target },
    { name = "socket", type = socket },
    { name = "detached", type = schema.boolean },
}
local TERMS = { timeout = true, retry = true, hedge = true }
for _, row in ipairs(proxy_options.SHARED) do
    if TERMS[row.name] then FIELDS[#FIELDS + 1] = row end
end
local OPTIONS = schema.record(FIELDS)

M.NAMES = {}
for at, row in ipairs(FIELDS) do M.NAMES[at] = row.name end

--- ---- what is asked for ----

---@class moongate.FetchRequest
---@field method string
---@field url moongate.Url
---@field fields { [1]: string, [2]: string }[]
---@field content? string|function
---@field type? string media type of the content
---@field upstream? moongate.Upstream

local DEFAULTS = { { "user-agent", "User-Agent: moongate\r\n" }, { "accept", "Accept: */*\r\n" } }

--- Content and its media type, from the one option that says it.
local function content_of(options)
    local said = 0
    for _, name in ipairs { "body", "json", "form" } do
        if options[name] ~= nil then said = said + 1 end
    end
    if said > 1 then caller.raise("mg.fetch: of body, json and form one is given") end
    if options.length and type(options.body) ~= "function" then caller.raise("mg.fetch: length: is said of a body that is a function") end
    if options.json ~= nil then
        local text, message = json.encode(options.json)
        if not text then caller.raise("mg.fetch: json: " .. message) end
        return text, "application/json"
    elseif options.form then
        return options.form, "application/x-www-form-urlencoded"
    end
    return options.body, nil
end

--- Where the request goes: its URL; or nil, message, code.
local function place(text, options)
    if type(text) ~= "string" then caller.raise("mg.fetch: expected a URL, got " .. schema.shown(text)) end
    local is_path = text:sub(1, 1) == "/"
    local place, message, code
    if options.upstream and options.socket then caller.raise("mg.fetch: of upstream and socket one is given") end
    if options.upstream or options.socket then
        local path = is_path and text or text:match("^http://[^/?#]*(.*)$")
        if not path then caller.raise("mg.fetch: with an upstream or a socket, a path is expected, got " .. schema.shown(text)) end
        if options.socket then
            place, message = url.on_socket(options.socket, path)
        else
            place, message = url.on_upstream(options.upstream.name, path)
        end
    else
        place, message, code = url.parse(text)
    end
    if not place then return nil, ("mg.fetch: %s: %s"):format(schema.shown(text), message), code or "url" end
    if options.query then
        local path = url.with_query(place.path, options.query)
        if not path then return nil, "mg.fetch: query: it has control characters: give a table, whose values are escaped", "url" end
        place.text, place.path = "http://" .. place.host .. path, path
    end
    return place
end

local function has_field(fields, name)
    for _, field in ipairs(fields) do
        if field[1]:lower() == name then return true end
    end
    return false
end

--- The request as C reads it.
local function head_of(request)
    local lines, fields = { ("%s %s HTTP/1.1\r\n"):format(request.method, request.url.path) }, request.fields
    if not has_field(fields, "host") then lines[2] = ("Host: %s\r\n"):format(request.url.host) end
    for _, default in ipairs(DEFAULTS) do
        if not has_field(fields, default[1]) then lines[#lines + 1] = default[2] end
    end
    if request.type and not has_field(fields, "content-type") then lines[#lines + 1] = ("Content-Type: %s\r\n"):format(request.type) end
    for _, field in ipairs(fields) do lines[#lines + 1] = ("%s: %s\r\n"):format(field[1], field[2]) end
    lines[#lines + 1] = "\r\n"
    return table.concat(lines)
end

--- ---- content on its way up ----

--- One piece to the server, and a pause when it has enough. false: no more is wanted.
local function put(handle, bytes, count, is_last)
    local waiting = C.mg_fetch_write(abi.worker, handle, bytes, count, is_last and 1 or 0)
    if waiting == -90 then error("mg.fetch: the body is not as long as `length` says", 0) end
    if waiting < 0 then return false end
    if waiting <= C.mg_settings(abi.worker).window_bytes then return true end
    local token = await.token()
    if C.mg_fetch_wait(abi.worker, handle, token) < 0 then return false end
    return fetched.wait(token, false, handle)
end

local function upload_text(handle, text)
    local bytes, at = ffi.cast("const char *", text), 0
    repeat
        local count = math.min(#text - at, PIECE)
        at = at + count
        if not put(handle, bytes + at - count, count, at == #text) then return end
    until at == #text
end

local function upload_pieces(handle, next_piece)
    while true do
        local piece, message = next_piece()
        if piece == nil then
            if message ~= nil then error(tostring(message), 0) end
            put(handle, "", 0, true)
            return
        end
        if type(piece) ~= "string" then error("mg.fetch: the body's function returned a " .. type(piece) .. ", not a string", 0) end
        if piece ~= "" and not put(handle, piece, #piece, false) then return end
    end
end

--- The response may come, and have to be read, before all of the content is taken: a task of its own sends it.
local function upload_beside(handle, body)
    local state = { busy = true }
    local task = await.spawn(type(body) == "string" and upload_text or upload_pieces, handle, body)
    task.watched = true
    task.on_end = function(ended)
        state.busy = false
        if ended.ok then return end
        state.failure = ended.value
        C.mg_fetch_close(abi.worker, handle)
    end
    return state
end

--- Sends what there is. Its state when that goes on.
local function upload(handle, body)
    if type(body) == "string" and #body <= C.mg_settings(abi.worker).window_bytes then
        C.mg_fetch_write(abi.worker, handle, body, #body, 1) -- what goes wrong comes with the head
        return nil
    end
    return upload_beside(handle, body)
end

--- ---- one exchange ----

--- The generation whose code runs.
local function living()
    local slot, task = abi.border.current, await.current()
    if slot >= 0 then return programs.alive[C.mg_request(abi.worker, slot).program] end
    return task and task.owner
end

--- Handles of the upstream and the terms; or nil, message, code.
local function handles_for(request)
    local generation, handle, message = living(), nil, nil
    if request.upstream then
        if not generation then return nil, "mg.fetch: the site that named this upstream is over", "closed" end
        handle, message = handles.upstream(generation.app.held, request.upstream)
    else
        handle, message = origins.open(request.url.origin)
    end
    if not handle then return nil, message, 502 end
    local terms = handles.passing_terms(request.lines)
    if not terms then return nil, "mg.fetch: no more ways of fetching can be kept", 503 end
    return handle, terms
end

local function length_of(request)
    local body = request.content
    if body == nil then return NO_CONTENT end
    return type(body) == "string" and #body or request.length or CHUNKED
end

local function begin(request)
    local handle, terms, code = handles_for(request)
    if not handle then return nil, terms, code end
    local head = head_of(request)
    local slot = request.detached and NONE or abi.border.current
    if slot < 0 then slot = NONE end
    local length = length_of(request)
    local number = C.mg_fetch_begin(abi.worker, handle, terms, head, #head, length, slot)
    if number == TOO_MANY then -- some may be held by nobody any more
        collectgarbage()
        number = C.mg_fetch_begin(abi.worker, handle, terms, head, #head, length, slot)
    end
    if number >= 0 then return number end
    local message = "mg.fetch: " .. (number == -107 and "nothing can be fetched here" or ffi.string(abi.border.text, abi.border.text_bytes))
    if number == -22 then caller.raise(message) end
    return nil, message, 503
end

--- Sends the request once, and waits for the head of the response.
---@param request moongate.FetchRequest
---@return moongate.Fetched?
---@return string? message
---@return any code
local function exchange(request)
    local handle, message, code = begin(request)
    if not handle then return nil, message, code end
    local anchor = fetched.anchor(handle)
    local state = request.content ~= nil and request.content ~= "" and upload(handle, request.content) or nil
    local status
    status, message, code = fetched.head(handle, request.deadline)
    if not status then
        C.mg_fetch_close(abi.worker, handle)
        ffi.gc(anchor, nil)
        if state and state.failure and state.failure ~= await.CANCELLED then error(state.failure, 0) end
        return nil, message, code
    end
    return fetched.new { handle = handle, anchor = anchor, status = status, url = request.url.text, deadline = request.deadline,
        timed = request.timed, max = request.max, is_bare = request.method == "HEAD", upload = state }
end

--- ---- redirects ----

local REDIRECT = { [301] = true, [302] = true, [303] = true, [307] = true, [308] = true }
local CREDENTIALS = { authorization = true, cookie = true, ["proxy-authorization"] = true, host = true }

local function without(fields, names)
    local kept = {}
    for _, field in ipairs(fields) do
        if not names[field[1]:lower()] then kept[#kept + 1] = field end
    end
    return kept
end

local OF_CONTENT = { ["content-type"] = true, ["content-encoding"] = true, ["content-language"] = true, ["content-location"] = true }

--- RFC 9110 §15.4: after 303, and after 301 and 302 to a POST, the other place is asked with GET and without content.
local function change_method(request, status)
    local method = request.method
    if method == "HEAD" or status == 307 or status == 308 or (status ~= 303 and method ~= "POST") then return end
    request.method, request.content, request.type, request.length = "GET", nil, nil, nil
    request.fields = without(request.fields, OF_CONTENT)
end

--- Turns the request to where a response sends it. true; or nil, message, code.
local function turn(request, response, location)
    local text, is_path = url.resolve(request.url, location)
    local there, message, code
    if is_path then
        there = { origin = request.url.origin, host = request.url.host, path = text, text = "http://" .. request.url.host .. text }
        if text:find("[%c ]") then there, message = nil, "it has spaces or controls" end
    else
        there, message, code = url.parse(text)
        if there and (request.upstream or there.origin ~= request.url.origin) then
            request.fields, request.upstream = without(request.fields, CREDENTIALS), nil
        end
    end
    if not there then
        return nil, ("mg.fetch: %s: redirected to %s: %s"):format(request.url.text, schema.shown(location), message), code or "redirects"
    end
    change_method(request, response.status)
    request.url = there
    return true
end

local function follow(request, most)
    local first = request.url.text
    for hop = 0, most do
        local response, message, code = exchange(request)
        if not response then return nil, message, code end
        local location = REDIRECT[response.status] and most > 0 and response.headers.location
        local repeats = response.status == 307 or response.status == 308
        if not location or repeats and type(request.content) == "function" then return response end
        response:close()
        if hop == most then break end
        local ok
        ok, message, code = turn(request, response, location)
        if not ok then return nil, message, code end
    end
    return nil, ("mg.fetch: %s: more than %d redirects"):format(first, most), "redirects"
end

--- ---- the call ----

--- Total time, and what the terms of an exchange say.
local function times(request, options)
    local timeout = options.timeout
    local total = type(timeout) == "table" and timeout.total or type(timeout) == "number" and timeout or nil
    local said = { timeout = nil, retry = options.retry, hedge = options.hedge }
    if type(timeout) == "table" then
        said.timeout = {}
        for name, value in pairs(timeout) do said.timeout[name] = name ~= "total" and value or nil end
    end
    request.timed = total ~= nil
    total = math.min(total or TOTAL_MS, DAY)
    request.deadline = total > 0 and C.mg_now(abi.worker) + total or false
    request.lines = proxy_options.lines(options.upstream or {}, said)
end

--- Asks another server: `mg.fetch("http://stock/items", { json = order, timeout = "300ms" })`. What the options may be is in lua/README.md.
---@param text string a URL; a path with the option `upstream` or `socket`
---@param options? table
---@return moongate.Fetched? response
---@return string? message
---@return any code the status that stands for it (502, 503, 504), or "gone", "url", "unsupported", "redirects", "closed"
function M.fetch(text, options)
    if not abi.border or not await.current() then
        caller.raise("mg.fetch: nothing can be fetched while files load; fetch in app:on_start, a handler or a task")
    end
    options = schema.demand(OPTIONS, options or {}, "mg.fetch", 2)
    local there, message, code = place(text, options)
    if not there then return nil, message, code end
    local body, media_type = content_of(options)
    local request = {
        method = options.method or (body and "POST" or "GET"), url = there, fields = options.headers or {}, content = body, type = media_type,
        length = options.length, upstream = options.upstream, max = options.max, detached = options.detached,
    }
    times(request, options)
    local most = options.redirects
    if most == nil then most = REDIRECTS end
    return follow(request, most or 0)
end

return M
