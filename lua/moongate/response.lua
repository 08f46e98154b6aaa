--- Answers: what a handler returned becomes bytes. A string is text, a table is JSON, a number a status; `mg.html` and its kin make values
--- of the class Response; filters see one response object per slot.
local ffi = require "ffi"
local abi = require "moongate.abi"
local await = require "moongate.await"
local caller = require "moongate.caller"
local descriptor = require "moongate.descriptor"
local json = require "moongate.json"
local request = require "moongate.request"

local M = {}

local C = abi.C
local type, error, getmetatable, setmetatable, rawset = type, error, getmetatable, setmetatable, rawset
local NONE, TEXT, HTML, JSON, BYTES, EVENTS =
    C.MG_CONTENT_NONE, C.MG_CONTENT_TEXT, C.MG_CONTENT_HTML, C.MG_CONTENT_JSON, C.MG_CONTENT_BYTES, C.MG_CONTENT_EVENTS
local SET, ADD, REMOVE = C.MG_FIELD_SET, C.MG_FIELD_ADD, C.MG_FIELD_REMOVE

---@class moongate.Response
---@field status? integer
---@field body? string|table
---@field content? integer
---@field headers? table<string, string|string[]>
---@field cookies? table<string, string|table>
---@field stream? fun(out: table)
---@field file? string
local Response = {}
Response.__index = Response
M.Response = Response

local function is_response(value) return getmetatable(value) == Response end
M.is = is_response

--- ---- values that handlers return ----

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
    local made = with_options({ stream = fn, content = options.type and NONE or BYTES, length = options.length }, options.status,
        options.headers, "mg.stream")
    made.type = options.type
    return made
end

--- Server-sent events: `fn(events)`, with `events:send("text")` or `events:send { event =, data =, id =, retry = }`.
function M.sse(fn, options)
    if type(fn) ~= "function" then caller.raise("mg.sse: expected a function(events)") end
    options = options or {}
    local made = with_options({ events = fn, content = EVENTS }, options.status, options.headers, "mg.sse")
    made.headers = made.headers or { ["cache-control"] = "no-store" }
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

--- ---- fields ----

local REASONS = { [-22] = "has bytes that must not be in a header field, or is the gateway's own to send", [-7] = "is too long",
    [-114] = "comes too late: the answer has begun" }

local function set_one(slot, name, value, mode)
    if type(value) == "number" then value = tostring(value) end
    if type(value) ~= "string" or type(name) ~= "string" then
        error(("header %q: expected a string, got %s"):format(tostring(name), type(value)), 4)
    end
    local rc = C.mg_field_set(abi.worker, slot, name, #name, value, #value, mode)
    if rc < 0 then error(("header %q %s"):format(name, REASONS[rc] or "cannot be set"), 4) end
end

local function set_field(slot, name, value)
    if value == nil then
        C.mg_field_set(abi.worker, slot, name, #name, "", 0, REMOVE)
    elseif type(value) == "table" then
        C.mg_field_set(abi.worker, slot, name, #name, "", 0, REMOVE)
        for at = 1, #value do set_one(slot, name, value[at], ADD) end
    else
        set_one(slot, name, value, SET)
    end
end

local function set_fields(slot, headers)
    for name, value in pairs(headers) do set_field(slot, name, value) end
end

local function set_cookies(req, list)
    local cookies = require "moongate.cookies"
    for name, value in pairs(list) do
        local options = type(value) == "table" and value or nil
        local line, message = cookies.render(name, options and (options.value or options[1]) or value, options, req.scheme == "https")
        if not line then error("cookie " .. message, 3) end
        set_one(req.slot, "set-cookie", line, ADD)
    end
end

--- What a filter gets from next(req): status, body, headers. One per slot.
local Headers = {}
function Headers.__index(headers, name)
    local border = abi.border
    if C.mg_field_get(abi.worker, headers[1], name, #name, 0) == 1 then return ffi.string(border.text, border.text_bytes) end
    return nil
end
function Headers.__newindex(headers, name, value)
    set_field(headers[1], name, value)
end

local Result = {}
Result.__index = Result

--- Adds one more field of that name, e.g. another Set-Cookie.
function Result:add_header(name, value) set_one(self._slot, name, value, ADD) end
--- Sets a cookie, with safe defaults.
function Result:set_cookie(name, value, options)
    options = options or {}
    options.value = value
    set_cookies(request.objects[self._slot], { [name] = options })
end

local function result_of(req)
    local res = req._res
    if not res then
        res = setmetatable({ _slot = req.slot, headers = setmetatable({ req.slot }, Headers), status = 200, body = false, rest = false }, Result)
        rawset(req, "_res", res)
    end
    return res
end

--- ---- errors ----

local KINDS = { [404] = "not-found", [405] = "method-not-allowed", [500] = "internal-error" }
local CODES = { ["not-found"] = 404, ["method-not-allowed"] = 405, ["internal-error"] = 500 }
local phrase = ffi.new("char[64]")

local function phrase_of(status)
    return ffi.string(phrase, C.mg_phrase(status, phrase, 64))
end

local function handler_for(app, status, kind)
    local handlers = app.error_handlers
    return kind and handlers[kind] or handlers[status] or handlers[KINDS[status] or false] or handlers["*"]
end

local function log(level, text)
    C.mg_log(abi.worker, level, text, #text)
end
M.log = log

local function plain_error(req, status, text)
    local body = ("%d %s%s\n"):format(status, phrase_of(status), text and ": " .. text or "")
    C.mg_fields_clear(abi.worker, req.slot)
    return C.mg_reply(abi.worker, req.slot, status, TEXT, body, #body)
end

local finish

--- Answers with an error: by the app's handler, which is itself guarded, or in plain words.
---@param err table { status=, kind=, message=, id=, traceback=, value= }
function M.fail(app, req, status, err)
    local handler = handler_for(app, status, err.kind)
    C.mg_fields_clear(abi.worker, req.slot)
    if not handler then
        plain_error(req, status, status == 500 and "this request failed; its id in the log is " .. req.id or err.message)
        return
    end
    err.status, err.id = status, req.id
    local ok, a, b, c = xpcall(handler.fn, debug.traceback, req, err)
    if ok and a == nil then ok, a = false, ("the error handler at %s returned nothing"):format(handler.where) end
    if ok then
        if type(a) == "string" and b == nil then a, b = status, a end -- a body alone keeps the status
        ok, a = pcall(finish, app, req, a, b, c, true)
    end
    if not ok then
        log(3, ("request %s: the error handler at %s failed: %s"):format(req.id, handler.where, tostring(a)))
        plain_error(req, 500, "this request failed; its id in the log is " .. req.id)
    end
end

--- What an error value that was raised says: its status, kind and message.
function M.describe_error(value, traceback)
    if type(value) == "table" and (value.status or value.kind) then
        local status = value.status or CODES[value.kind] or 500
        return status, { kind = value.kind, message = value.message, value = value, traceback = traceback, raised = true }
    end
    return 500, { message = tostring(value), value = value, traceback = traceback }
end

--- A handler raised (or its dispatcher died): log what nobody expected, answer, or cut the stream.
function M.raised(app, slot, value, traceback)
    local req = request.objects[slot]
    local status, err = M.describe_error(value, traceback)
    if value == await.CANCELLED then status, err = 503, { message = "the work was cancelled" } end
    local failed = rawget(req, "_failed") -- the content was broken: that is why, most likely
    if failed and status == 500 then
        status, err.message = failed, "the content could not be read"
    elseif status >= 500 and value ~= await.CANCELLED then
        log(3, ("request %s: %s %s: %s"):format(req.id, req.method, req.target, traceback or tostring(err.message)))
    end
    M.hold(app, req)
    if req._p.flags % 4 >= 2 then -- MG_REQ_BEGUN
        C.mg_stream_end(abi.worker, slot, 1)
    else
        M.fail(app, req, status, err)
    end
    M.over(app, req)
end

--- ---- sending ----

local function check_rc(rc, what)
    if rc == -22 then error(what .. ": a status must be from 200 to 599", 0) end
end

--- Status and body → bytes. `content` nil: by the body's type.
local function send(req, status, body, content)
    local kind = type(body)
    if kind == "string" then
        return check_rc(C.mg_reply(abi.worker, req.slot, status, content or TEXT, body, #body), "answer")
    elseif kind == "nil" then
        if status >= 400 and not content then return plain_error(req, status) end
        return check_rc(C.mg_reply(abi.worker, req.slot, status, content or NONE, "", 0), "answer")
    elseif kind == "table" then
        local text, message = json.encode(body)
        if not text then error("the answer cannot be JSON: " .. message, 0) end
        return check_rc(C.mg_reply(abi.worker, req.slot, status, content or JSON, text, #text), "answer")
    end
    error(("a body is a string or a table, not a %s (%s)"):format(kind, tostring(body)), 0)
end

local Out = {}
Out.__index = Out

---@class moongate.Out
--- Writes a piece. Waits when the client is slow. true; or nil, message when the client has gone.
function Out:write(text)
    if type(text) ~= "string" then
        if type(text) ~= "number" then error("out:write: expected a string, got " .. type(text), 2) end
        text = tostring(text)
    end
    local worker, slot = abi.worker, self.slot
    local waiting = C.mg_stream_write(worker, slot, text, #text)
    if waiting < 0 then
        if waiting == -90 then error("out:write: more than the announced length", 2) end
        return abi.failed(waiting)
    end
    if waiting > self.window then return self:drain(self.window / 2) end
    return true
end

--- Waits until at most `mark` bytes wait to be taken. true; or nil, message.
function Out:drain(mark)
    local token = await.token()
    local rc = C.mg_stream_wait(abi.worker, self.slot, mark or 0, token)
    if rc == 0 then rc = await.wait() end
    if rc < 0 then return abi.failed(rc) end
    return true
end

--- Waits until everything written so far is on its way.
function Out:flush() return self:drain(0) end

--- Has the client left?
function Out:is_gone() return self.req:is_gone() end

local Events = {}
Events.__index = Events

local function event_lines(name, value)
    return name .. ": " .. tostring(value):gsub("\r\n?", "\n"):gsub("\n", "\n" .. name .. ": ") .. "\n"
end

--- Sends one event. true; or nil, message when the client has gone.
function Events:send(event)
    if type(event) ~= "table" then event = { data = event } end
    local text = ""
    if event.event then text = text .. event_lines("event", event.event) end
    if event.id then text = text .. event_lines("id", event.id) end
    if event.retry then text = text .. event_lines("retry", event.retry) end
    local data = event.data
    if type(data) == "table" then data = assert(json.encode(data)) end
    if data ~= nil then text = text .. event_lines("data", data) end
    return self.out:write(text .. "\n")
end

--- A line that clients ignore: keeps intermediaries from closing a quiet stream.
function Events:comment(text) return self.out:write((event_lines("", text or ""))) end
function Events:is_gone() return self.out:is_gone() end

local function stream(req, status, made)
    local rc = C.mg_stream_begin(abi.worker, req.slot, status, made.content, made.length or -1)
    check_rc(rc, "stream")
    local out = setmetatable({ slot = req.slot, req = req, window = C.mg_settings(abi.worker).window_bytes }, Out)
    if made.events then made.events(setmetatable({ out = out }, Events)) else made.stream(out) end
    C.mg_stream_end(abi.worker, req.slot, 0)
end

local roots = {}

local function root_of(folder)
    local root = roots[folder]
    if not root then
        root = C.mg_root_open(abi.worker, folder, #folder)
        if root < 0 then return nil, root end
        roots[folder] = root
    end
    return root
end

local FILE_ERRORS = { [-2] = 404, [-13] = 403, [-20] = 404, [-40] = 404, [-36] = 404, [-22] = 404 }

local function send_file(app, req, folder, path, made)
    local root, code = root_of(folder)
    local content_type = made and made.type or ""
    local rc = root and C.mg_reply_file(abi.worker, req.slot, root, path, #path, content_type, #content_type) or code
    if rc == 0 then return end
    if rc == -21 then -- a folder: its name ends in a slash
        local query = req.query_string
        set_one(req.slot, "location", req.path .. "/" .. (query ~= "" and "?" .. query or ""), SET)
        C.mg_reply(abi.worker, req.slot, 301, NONE, "", 0)
        return
    end
    local status = FILE_ERRORS[rc] or 500
    if status == 500 then log(3, ("file %s/%s: error %d"):format(folder, path, -rc)) end
    M.fail(app, req, status, { message = status == 404 and "no such file" or nil })
end

local function send_response(app, req, made, status)
    if made.headers then set_fields(req.slot, made.headers) end
    if made.cookies then set_cookies(req, made.cookies) end
    if made.reason and C.mg_reason(abi.worker, req.slot, made.reason, #made.reason) < 0 then error("reason: not a reason phrase", 0) end
    status = status or made.status or 200
    if made.type and not made.file then set_field(req.slot, "content-type", made.type) end
    if made.file then
        local folder, name = made.file:match("^(.*)/([^/]*)$")
        return send_file(app, req, folder or ".", name or made.file, made)
    end
    if made.stream or made.events then return stream(req, status, made) end
    return send(req, status, made.body, made.content)
end

--- Captures in the target of a redirect or of a proxied path. `encode`: they are put back as they came.
local function expand(req, template)
    local p = req._p
    local names = request.route_names[p.match.route] or request.NO_NAMES
    return (template:gsub("([:*])([%w_]*)", function(mark, name)
        if mark == "*" and name == "" then name = "*" end
        for at = 1, #names do
            if names[at] == name then
                local part = p.match.captures[at - 1]
                return ffi.string(p.path + part.at, part.bytes)
            end
        end
        return nil
    end))
end

local function send_redirect(req, made)
    local to, query = expand(req, made.to), req.query_string
    if made.keep_query and query ~= "" then
        local before, fragment = to:match("^([^#]*)(.*)$")
        to = before .. (before:find("?", 1, true) and "&" or "?") .. query .. fragment
    end
    set_field(req.slot, "location", to)
    C.mg_reply(abi.worker, req.slot, made.status, NONE, "", 0)
end

local PROXY_ERRORS = { [-22] = 400, [-74] = 400, [-7] = 431, [-2] = 502 }

local function send_proxy(app, req, made)
    local target = made.options.path and expand(req, made.options.path) or ""
    if target ~= "" and req.query_string ~= "" then target = target .. "?" .. req.query_string end
    local rc = C.mg_reply_proxy(abi.worker, req.slot, made.upstream.handle, target, #target)
    if rc < 0 then M.fail(app, req, PROXY_ERRORS[rc] or 503, { message = "the request cannot be forwarded" }) end
end

--- Answers that are said by a value.
local function send_descriptor(app, req, made)
    if made.kind == "redirect" then
        send_redirect(req, made)
    elseif made.kind == "proxy" then
        send_proxy(app, req, made)
    else
        local p = req._p
        local part = p.match.captures[p.match.capture_count - 1]
        local path = abi.decode(ffi.string(p.path + part.at, part.bytes))
        if made.options.cache_control then set_field(req.slot, "cache-control", made.options.cache_control) end
        send_file(app, req, made.dir, path, made)
    end
end
M.send_descriptor = send_descriptor

--- An answer by the app's error handler, said by a value instead of raised.
local Failure = {}
Failure.__index = Failure
function M.failure(status, kind, message)
    return setmetatable({ status = status, kind = kind, message = message }, Failure)
end

local NOTHING = "the handler returned nothing: return a string, a table, a status, or a response"

--- What a handler returned → the answer.
function finish(app, req, a, b, c, in_error)
    local kind = type(a)
    if kind == "string" then
        if b ~= nil then error("the handler returned a string and something else: a status comes first, as in `return 200, body`", 0) end
        return send(req, 200, a, TEXT)
    elseif kind == "number" then
        if c ~= nil then
            if type(c) ~= "table" then error("the third value that a handler returns is a table of header fields", 0) end
            set_fields(req.slot, c)
        end
        if is_response(b) then return send_response(app, req, b, a) end
        if b == nil and a >= 400 and not in_error and handler_for(app, a) then return M.fail(app, req, a, { message = phrase_of(a) }) end
        return send(req, a, b)
    elseif kind == "table" then
        local class = getmetatable(a)
        if class == Result then
            if a.rest then
                local rest = a.rest
                a.rest = false
                if is_response(rest) then
                    local status = a.status
                    return send_response(app, req, rest, status)
                end
                return send_descriptor(app, req, rest)
            end
            local body = a.body
            return send(req, a.status, body == false and nil or body, a.content)
        elseif class == Response then
            return send_response(app, req, a)
        elseif class == Failure then
            return M.fail(app, req, a.status, { kind = a.kind, message = a.message })
        elseif descriptor.is(a) then
            return send_descriptor(app, req, a)
        end
        return send(req, 200, a)
    elseif a == nil and b ~= nil then
        local status = type(c) == "number" and c or CODES[c or ""] or 500
        if status == 500 then log(3, ("request %s: the handler returned nil, %s"):format(req.id, tostring(b))) end
        return M.fail(app, req, status, { message = tostring(b), kind = type(c) == "string" and c or nil })
    end
    error(a == nil and NOTHING or ("the handler returned a %s"):format(kind), 0)
end
M.finish = finish

--- What the inner handler returned, as the response object that a filter may look at and change.
function M.result(app, req, a, b, c)
    local res = req._res or result_of(req)
    if a == res then return res end
    res.content, res.rest = nil, false
    local kind = type(a)
    if kind == "string" then
        res.status, res.body, res.content = 200, a, TEXT
    elseif kind == "number" then
        if c ~= nil then set_fields(req.slot, c) end
        if is_response(b) then
            M.result(app, req, b)
            res.status = a
            return res
        end
        res.status, res.body = a, b == nil and false or b
    elseif kind == "table" then
        if is_response(a) then
            res.status = a.status or 200
            if a.stream or a.events or a.file then
                res.body, res.rest = false, a
            else
                if a.headers then set_fields(req.slot, a.headers) end
                if a.cookies then set_cookies(req, a.cookies) end
                if a.type then set_field(req.slot, "content-type", a.type) end
                res.body, res.content = a.body == nil and false or a.body, a.content
            end
        elseif descriptor.is(a) then
            res.status, res.body, res.rest = 200, false, a
        else
            res.status, res.body, res.content = 200, a, JSON
        end
    elseif a == nil and b ~= nil then
        local status = type(c) == "number" and c or CODES[c or ""] or 500
        error({ status = status, kind = type(c) == "string" and c or nil, message = tostring(b) }, 0)
    else
        error(NOTHING, 0)
    end
    return res
end

--- ---- after the answer ----

local function run_hook(fn, req, where)
    local ok, message = xpcall(fn, debug.traceback, req)
    if not ok then log(3, ("on_done%s: %s"):format(where and " at " .. where or "", tostring(message))) end
end

--- Waits for the last byte (or for the client's end), runs the hooks, lets the slot go.
local function done_task(app, req)
    local slot = req.slot
    local token = await.token()
    if C.mg_hold(abi.worker, slot, token) == 0 then await.wait() end
    for _, hook in ipairs(app.done) do run_hook(hook.fn, req, hook.where) end
    for _, fn in ipairs(req._hooks or {}) do run_hook(fn, req) end
    request.reset(req)
    C.mg_release(abi.worker, slot)
end

--- Keeps the slot beyond its answer when somebody wants to know its end.
local function hold(app, req)
    if req._held or not (req._hooks or app.done[1]) then return end
    if C.mg_hold(abi.worker, req.slot, 0) < 0 then return end
    rawset(req, "_used", true)
    rawset(req, "_held", "waiting")
end

--- The request is over for its dispatcher.
function M.over(app, req)
    if req._held == "waiting" then
        rawset(req, "_held", "told")
        await.spawn(done_task, app, req)
    elseif not req._held and req._used then
        request.reset(req)
    end
end

--- What the generated dispatcher calls for all but the simplest answers.
function M.answer(app, req, a, b, c)
    hold(app, req)
    finish(app, req, a, b, c)
    M.over(app, req)
end

--- C could not answer: an upstream failed, or content is beyond its limit.
function M.failed_below(app, slot, status, message)
    local req = request.objects[slot]
    hold(app, req)
    M.fail(app, req, status, { message = message })
    M.over(app, req)
end

M.hold = hold

return M
