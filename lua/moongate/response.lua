--- Answering: what a handler returned becomes bytes. A string is text, a table is JSON, a number a status; `mg.html` and its kin make
--- values (answers.lua); filters see one response object per slot. Errors are answered here, too.
local ffi = require "ffi"
local abi = require "moongate.abi"
local answers = require "moongate.answers"
local await = require "moongate.await"
local descriptor = require "moongate.descriptor"
local ending = require "moongate.ending"
local error_page = require "moongate.error_page"
local failures = require "moongate.failure"
local fetched = require "moongate.fetched"
local handles = require "moongate.handles"
local json = require "moongate.json"
local loop = require "moongate.loop"
local mapped = require "moongate.mapped"
local out = require "moongate.out"
local paths = require "moongate.paths"
local proxied = require "moongate.proxied"
local alive = require("moongate.programs").alive
local request = require "moongate.request"
local result = require "moongate.result"

local M = {}

local C = abi.C
local type, error, getmetatable, setmetatable, rawset = type, error, getmetatable, setmetatable, rawset
local Response, is_response, shown = answers.Response, answers.is, loop.shown
local NONE, TEXT, JSON = C.MG_CONTENT_NONE, C.MG_CONTENT_TEXT, C.MG_CONTENT_JSON
local Result, result_of = result.Result, result.of
local set_one, set_field, set_fields, set_cookies = result.set_one, result.set_field, result.set_fields, result.set_cookies
local SET, ADD = C.MG_FIELD_SET, C.MG_FIELD_ADD

--- ---- errors ----

local KINDS = { [404] = "not-found", [405] = "method-not-allowed", [500] = "internal-error" }
local phrase = ffi.new("char[64]")

local function phrase_of(status)
    return ffi.string(phrase, C.mg_phrase(status, phrase, 64))
end

local function handler_for(app, status, kind)
    local handlers = app.error_handlers
    return kind and handlers[kind] or handlers[status] or handlers[KINDS[status] or false] or handlers["*"]
end

--- A kind that the app has a handler for is not a surprise: it is not logged.
local function is_expected(app, kind)
    return kind ~= nil and failures.CODES[kind] == nil and app.error_handlers[kind] ~= nil
end

local function log(level, text)
    C.mg_log(abi.worker, level, text, #text)
end
M.log, M.traced, M.over = log, failures.traced, ending.over

--- ` (site.lua:14)`: where the route of a request was written; "" for those that nobody wrote.
local function place_of(req)
    local p = req._p
    local living = alive[p.program] -- nil: the request was over before it failed
    local where = living and living.places[p.match.route]
    return where and (" (%s)"):format(where) or ""
end

--- The place of the route is left out where the text begins with it.
local function log_failure(req, text)
    local place = place_of(req)
    if place ~= "" and text:sub(1, #place - 2) == place:sub(3, -2) .. ":" then place = "" end
    log(3, ("request %s: %s %s%s: %s"):format(req.id, req.method, req.target, place, text))
end

--- Does a client say what it likes? `*/*` is the word of those that take anything.
local function has_taste(req)
    local border = abi.border
    return C.mg_header(abi.worker, req._slot, "accept", 6, 0) == 1 and not (border.text_bytes == 3 and border.text[0] == 42)
end

local function plain_error(req, status, text)
    local body, content
    if has_taste(req) then
        C.mg_field_set(abi.worker, req._slot, "vary", 4, "accept", 6, ADD)
        body, content = error_page.plain(req, status, phrase_of(status), text)
    else
        body, content = ("%d %s%s\n"):format(status, phrase_of(status), text and ": " .. text or ""), TEXT
    end
    return C.mg_reply(abi.worker, req._slot, status, content, body, #body)
end

local function check_rc(rc, what, status)
    if rc == -22 then error(("%s: a status is from 200 to 599%s"):format(what, status and ", not " .. tostring(status) or ""), 0) end
    if rc == -7 then error(what .. ": its header fields are longer than 16 KiB together", 0) end
end

local PAGE_FIELDS = { ["cache-control"] = "no-store", ["content-security-policy"] = "default-src 'none'; style-src 'unsafe-inline'" }

--- What is said of an error when no handler is there to say it. Lines and files are shown in debug mode only.
local function plain_answer(req, status, err)
    local body, content
    if abi.border.debug == 1 then body, content = error_page.full(req, status, err, phrase_of(status)) end
    if body then
        for name, value in pairs(PAGE_FIELDS) do C.mg_field_set(abi.worker, req._slot, name, #name, value, #value, SET) end
    elseif status == 500 then
        body, content = error_page.short(req, status, phrase_of(status))
    else
        return plain_error(req, status, err.message ~= nil and shown(err.message) or nil)
    end
    return C.mg_reply(abi.worker, req._slot, status, content, body, #body)
end

local finish

--- The answer of an error handler. A body alone keeps the status of the error.
local function send_handled(app, req, status, a, b, c)
    if a == nil then error("it returned nothing", 0) end
    local kind = type(a)
    if b == nil and (kind == "string" or kind == "table" and (getmetatable(a) == nil or is_response(a) and not a.status)) then
        a, b = status, a
    end
    finish(app, req, a, b, c, true)
end

--- Answers with an error: by the app's handler, which is itself guarded, or in plain words. A handler whose own answer fails (its page is
--- missing, its upstream is down) is not asked again.
---@param err table { status=, kind=, message=, id=, traceback=, value= }
---@param keep? boolean fields that filters have set stay
function M.fail(app, req, status, err, keep)
    local handler = handler_for(app, status, err.kind)
    if not keep then C.mg_fields_clear(abi.worker, req._slot) end
    if handler and req._erring then
        log_failure(req, ("the answer of the error handler at %s failed: %d"):format(req._erring, status))
        handler = nil
    end
    if not handler then return check_rc(plain_answer(req, status, err), "answer") end
    rawset(req, "_used", true)
    rawset(req, "_erring", handler.where)
    err.status, err.id = status, req.id
    local ok, a, b, c = xpcall(handler.fn, failures.traced, req, err)
    if ok then ok, a = pcall(send_handled, app, req, status, a, b, c) end
    if ok then return end
    log_failure(req, ("the error handler at %s failed: %s"):format(handler.where, shown(a)))
    if req._p.flags % 4 >= 2 then -- MG_REQ_BEGUN
        C.mg_stream_end(abi.worker, req._slot, 1)
        return
    end
    C.mg_fields_clear(abi.worker, req._slot)
    plain_answer(req, 500, { message = a })
end

--- A handler raised (or its dispatcher died): log what nobody expected, answer, or cut the stream.
function M.raised(app, slot, value, stack)
    local req = request.objects[slot]
    local status, err = failures.describe(value, stack)
    if value == await.CANCELLED then status, err = 503, { message = "the work was cancelled" } end
    local failed = rawget(req, "_failed") -- the content was broken: that is why, most likely
    if failed and status == 500 then
        status, err.message = failed, "the content could not be read"
    elseif status >= 500 and value ~= await.CANCELLED and not is_expected(app, err.kind) then
        log_failure(req, err.traceback)
    end
    ending.hold(app, req)
    if req._p.flags % 4 >= 2 then -- MG_REQ_BEGUN
        C.mg_stream_end(abi.worker, slot, 1)
    else
        M.fail(app, req, status, err)
    end
    ending.over(app, req)
end

--- Even that failed: the least that can be said.
function M.give_up(app, slot, message)
    local req = request.objects[slot]
    log(3, ("request %s: answering its error failed: %s"):format(req.id, shown(message)))
    if req._p.flags % 4 >= 2 then -- MG_REQ_BEGUN
        C.mg_stream_end(abi.worker, slot, 1)
    else
        C.mg_fields_clear(abi.worker, slot)
        plain_error(req, 500, "this request failed; its id in the log is " .. req.id)
    end
    ending.over(app, req)
end

--- ---- sending ----

--- Status and body → bytes. `content` nil: by the body's type.
local function send(req, status, body, content)
    local kind = type(body)
    if kind == "string" then
        return check_rc(C.mg_reply(abi.worker, req._slot, status, content or TEXT, body, #body), "answer", status)
    elseif kind == "nil" then
        if status >= 400 and not content then return check_rc(plain_error(req, status), "answer", status) end
        return check_rc(C.mg_reply(abi.worker, req._slot, status, content or NONE, "", 0), "answer", status)
    elseif kind == "table" then
        local text, message = json.encode(body)
        if not text then error("the answer cannot be JSON: " .. message:gsub("^cannot encode as JSON: ", ""), 0) end
        return check_rc(C.mg_reply(abi.worker, req._slot, status, JSON, text, #text), "answer", status)
    end
    error(("a body is a string or a table, not %s"):format(kind == "number" and "the number " .. tostring(body) or "a " .. kind), 0)
end

--- `maps`: what filters change the pieces with.
local function stream(req, status, made, maps)
    check_rc(C.mg_stream_begin(abi.worker, req._slot, status, made.content, not maps and made.length or -1), "stream")
    local writer = out.new(req)
    local finish_maps = maps and mapped.attach(writer, maps)
    if made.events then made.events(out.events(writer)) else made.stream(writer) end
    if finish_maps then finish_maps() end
    if req._p.generation == writer.generation then C.mg_stream_end(abi.worker, req._slot, 0) end
end

local FILE_ERRORS = { [-2] = 404, [-13] = 403, [-20] = 404, [-40] = 404, [-36] = 404, [-22] = 404, [-12] = 503, [-24] = 503, [-23] = 503, [-105] = 503 }

local function fail_file(app, req, rc, what, keep)
    local status = FILE_ERRORS[rc] or 500
    if status >= 500 then log_failure(req, ("file %s: %s"):format(what, select(2, abi.failed(rc)))) end
    M.fail(app, req, status, { message = status == 404 and "no such file" or nil }, keep)
end

--- What filters have set stays on the error that may come of it later.
local function keep_fields(req)
    rawset(req, "_used", true)
    rawset(req, "_keep", true)
end

--- mg.file: beside the file of the app, unless the path begins with a slash.
local function send_named_file(app, req, name, status, content_type, keep)
    local path = paths.resolve(app.folder or ".", name)
    local folder, last = path:match("^(.*)/([^/]*)$")
    local handle, rc = handles.passing(app.held, folder == "" and "/" or folder or ".")
    if keep then keep_fields(req) end
    content_type, last = content_type or "", last or path
    if handle then
        rc = C.mg_reply_file(abi.worker, req._slot, handle, last, #last, status == 200 and 0 or status, content_type, #content_type)
    end
    if rc < 0 then fail_file(app, req, rc, path, keep) end
end

--- app:files: what the last capture names.
local function send_from_folder(app, req, made, keep)
    local handle, rc = handles.folder(app.held, made)
    if keep then keep_fields(req) end
    if handle then rc = C.mg_reply_folder(abi.worker, req._slot, handle) end
    if rc < 0 then fail_file(app, req, rc, made.dir, keep) end
end

--- What the generated dispatcher calls when a folder without filters has no answer: `rc` is why.
function M.failed_folder(app, req, rc, made)
    fail_file(app, req, rc, made.dir)
    ending.over(app, req)
end

--- The fields of an answer, before its content.
local function apply(req, made)
    if made.headers then set_fields(req._slot, made.headers) end
    if made.cookies then set_cookies(req, made.cookies) end
    if made.reason and C.mg_reason(abi.worker, req._slot, made.reason, #made.reason) < 0 then error("reason: not a reason phrase", 0) end
    if made.type and not made.file then set_field(req._slot, "content-type", made.type, 0) end
end

local NO_MAP = "res:map: a file's content does not pass through Lua: leave files out of the filter's pattern"

--- What has content that is not a body at hand.
local function send_rest(app, req, made, status, keep, maps)
    if made.file then
        if maps then error(NO_MAP, 0) end
        return send_named_file(app, req, made.file, status, made.type, keep)
    end
    return stream(req, status, made, maps)
end

--- Fields of an upstream that speak of the very bytes that it sent.
local OF_BYTES = { "etag", "accept-ranges", "content-md5", "digest", "content-digest", "repr-digest" }

local function forget_fields(req, names)
    for _, name in ipairs(names) do C.mg_field_set(abi.worker, req._slot, name, #name, "", 0, C.MG_FIELD_REMOVE) end
end

--- A response's content piece by piece through Lua.
local function pump(req, status, response, maps)
    local has_none = status == 204 or status == 304 or req.method == "HEAD"
    if maps then forget_fields(req, OF_BYTES) end
    stream(req, status, { content = NONE, stream = function(writer)
        if not has_none then mapped.pump(response, writer) end
    end }, not has_none and maps or nil)
    fetched.let_go(response)
end

--- A response that a script holds, whose fields are the answer's already.
local function send_fetched(app, req, status, response, maps)
    local text = fetched.whole(response)
    if text then
        if maps then
            forget_fields(req, OF_BYTES)
            text = mapped.whole(maps, text)
        end
        return check_rc(C.mg_reply(abi.worker, req._slot, status, NONE, text, #text), "answer", status)
    elseif maps or fetched.is_uploading(response) then
        return pump(req, status, response, maps)
    end
    local handle, message = fetched.take(response)
    if not handle then error("a fetched response was returned: " .. message, 0) end
    local rc = C.mg_fetch_reply(abi.worker, req._slot, handle, status)
    if rc >= 0 then return end
    M.fail(app, req, 502, { message = rc == -22 and "the upstream's status is none of an answer" or "the upstream's response head is too large" })
end

local function send_response(app, req, made, status)
    apply(req, made)
    status = status or made.status or 200
    if made.file or made.stream or made.events then return send_rest(app, req, made, status) end
    return send(req, status, made.body, made.content)
end

local function send_redirect(req, made)
    local to, query = proxied.expand(req, made, made.to), req.query_string
    if made.keep_query and query ~= "" then
        local before, fragment = to:match("^([^#]*)(.*)$")
        to = before .. (before:find("?", 1, true) and "&" or "?") .. query .. fragment
    end
    set_field(req._slot, "location", to, 0)
    check_rc(C.mg_reply(abi.worker, req._slot, made.status, NONE, "", 0), "redirect")
end

local function send_proxy(app, req, made, keep)
    local status = proxied.send(app, req, made)
    if status ~= 0 then M.fail(app, req, status, { message = "the request cannot be forwarded" }, keep) end
end

--- Answers that are said by a value.
local function send_descriptor(app, req, made, keep)
    if made.kind == "redirect" then
        send_redirect(req, made)
    elseif made.kind == "proxy" then
        send_proxy(app, req, made, keep)
    else
        send_from_folder(app, req, made, keep)
    end
end
M.send_descriptor = send_descriptor

local TWO_VALUES = "returned a string and something else: a status comes first, as in `return 200, body`"

--- Neither nil nor a value of another type is an answer. `filter`: where the filter was written that returned it.
local function refuse_value(value, filter)
    local who = filter and "the filter at " .. filter or "the handler"
    if value ~= nil then error(("%s returned a %s: return a string, a table, a status, or a response"):format(who, type(value)), 0) end
    error(who .. " returned nothing: " .. (filter and "end it with `return next(req)` or with an answer of its own"
        or "return a string, a table, a status, or a response"), 0)
end

--- `return nil, message, code`: the error that it stands for.
local function failure_of(app, req, message, code)
    local status = failures.is_error_status(code) and code or failures.CODES[code or ""] or 500 -- other numbers are codes of the system
    local is_told = status == 500 and not is_expected(app, code) or status == 502 or status == 504 -- another server's fault has its cause in the log
    if is_told then log_failure(req, "returned nil, " .. tostring(message)) end
    return failures.new(status, type(code) == "string" and code or nil, tostring(message))
end

--- A proxied answer that no filter has looked at: what they have set goes to C, and the rest never comes to Lua.
local function send_unseen(app, req, res)
    local made, status = res._rest, rawget(res, "status")
    res._rest, res._lazy = false, false
    if status ~= nil then
        if type(status) ~= "number" or status < 200 or status > 599 or status % 1 ~= 0 then check_rc(-22, "answer", status) end
        C.mg_own_status(abi.worker, req._slot, status)
    end
    return send_descriptor(app, req, made, true)
end

--- A filter's body in the place of a response's content: what was said of that holds no more.
local function replace_content(req, response, body)
    if body ~= fetched.whole(response) then
        forget_fields(req, OF_BYTES)
        forget_fields(req, { "content-encoding", "content-range" })
        if type(body) == "table" then forget_fields(req, { "content-type" }) end
    end
    fetched.let_go(response)
end

--- A body at hand, changed by filters.
local function send_mapped(req, status, body, content, maps)
    if type(body) == "table" then
        local text, message = json.encode(body)
        if not text then error("the answer cannot be JSON: " .. message, 0) end
        body, content = text, JSON
    end
    return send(req, status, mapped.whole(maps, body), content)
end

--- An answer that went through filters.
local function finish_result(app, req, res)
    if res ~= req._res then error("a response of another request was returned", 0) end
    local body, maps = res.body, res._maps
    if res._lazy then
        if not body and not maps then return send_unseen(app, req, res) end
        result.look(res)
    end
    local rest, status = res._rest, res.status
    res._rest, res.body, res._maps = false, false, false
    if body and fetched.is(rest) then replace_content(req, rest, body) end
    if body == nil or body == false then
        if failures.is(rest) then
            if status ~= rest.status then rest = failures.new(status) end
            return M.fail(app, req, status, { kind = rest.kind, message = rest.message }, true)
        elseif is_response(rest) then
            return send_rest(app, req, rest, status, true, maps)
        elseif fetched.is(rest) then
            return send_fetched(app, req, status, rest, maps)
        elseif rest then
            if maps and rest.kind == "files" then error(NO_MAP, 0) end
            return send_descriptor(app, req, rest, true)
        end
        if failures.is_error_status(status) and handler_for(app, status) then return M.fail(app, req, status, { message = phrase_of(status) }, true) end
        body = nil
    end
    if maps and body ~= nil then return send_mapped(req, status, body, res._content or nil, maps) end
    return send(req, status, body, res._content or nil)
end

--- A status first: alone, with a body, with fields.
local function finish_status(app, req, status, body, headers, in_error)
    if headers ~= nil then
        if type(headers) ~= "table" then error("the third value that a handler returns is a table of header fields", 0) end
        set_fields(req._slot, headers)
    end
    if is_response(body) then return send_response(app, req, body, status) end
    if fetched.is(body) then
        proxied.take_fields(req, body)
        return send_fetched(app, req, status, body)
    end
    if body == nil and not in_error and failures.is_error_status(status) and handler_for(app, status) then
        return M.fail(app, req, status, { message = phrase_of(status) }, headers ~= nil)
    end
    return send(req, status, body)
end

--- What a handler returned → the answer. `in_error`: it is an error handler's; `filter`: where the filter was written that returned it.
function finish(app, req, a, b, c, in_error, filter)
    local kind = type(a)
    if filter and a ~= req._res then C.mg_fields_clear(abi.worker, req._slot) end -- an answer of its own, not what it got from next()
    if kind == "string" then
        if b ~= nil then error(TWO_VALUES, 0) end
        return send(req, 200, a, TEXT)
    elseif kind == "number" then
        return finish_status(app, req, a, b, c, in_error)
    elseif kind == "table" then
        local class = getmetatable(a)
        if class == Result then
            return finish_result(app, req, a)
        elseif class == Response then
            return send_response(app, req, a)
        elseif failures.is(a) then
            return M.fail(app, req, a.status, { kind = a.kind, message = a.message })
        elseif descriptor.is(a) then
            return send_descriptor(app, req, a)
        elseif fetched.is(a) then
            proxied.take_fields(req, a)
            return send_fetched(app, req, a.status, a)
        end
        return send(req, 200, a)
    elseif a == nil and b ~= nil then
        return finish(app, req, failure_of(app, req, b, c))
    end
    refuse_value(a, filter)
end
M.finish = finish

--- A value that has a class, inside filters.
local function result_of_value(req, res, value)
    if is_response(value) then
        apply(req, value)
        res.status = value.status or 200
        if value.stream or value.events or value.file then
            res._rest = value
        else
            res.body, res._content = value.body == nil and false or value.body, value.content or false
        end
    elseif getmetatable(value) == Result then
        error("a response of another request was returned", 0)
    elseif failures.is(value) then
        res.status, res._rest = value.status, value
    elseif descriptor.is(value) then
        res._rest = value
        if value.kind == "proxy" then
            res._lazy = true
            rawset(res, "status", nil) -- who reads it waits for the upstream's
        end
    elseif fetched.is(value) then
        proxied.take_fields(req, value)
        res.status, res._rest = value.status, value
    else
        res.body, res._content = value, JSON
    end
    return res
end

--- What the inner handler (or the inner filter, written at `filter`) returned, as the response object that a filter may look at and change.
function M.result(app, req, a, b, c, filter)
    local res = req._res or result_of(req)
    if a == res then return res end
    C.mg_fields_clear(abi.worker, req._slot) -- those of an answer that is not sent: next() was called before
    if res._rest and fetched.is(res._rest) then fetched.let_go(res._rest) end
    res.status, res.body, res._content, res._rest, res._lazy, res._maps = 200, false, false, false, false, false
    local kind = type(a)
    if kind == "string" then
        if b ~= nil then error(TWO_VALUES, 0) end
        res.body, res._content = a, TEXT
    elseif kind == "number" then
        if c ~= nil then set_fields(req._slot, c) end
        if is_response(b) then
            result_of_value(req, res, b)
        elseif fetched.is(b) then
            result_of_value(req, res, b)
        elseif b ~= nil then
            res.body = b
        end
        res.status = a
    elseif kind == "table" then
        return result_of_value(req, res, a)
    elseif a == nil and b ~= nil then
        return result_of_value(req, res, failure_of(app, req, b, c))
    else
        refuse_value(a, filter)
    end
    return res
end

--- What the generated dispatcher calls for all but the simplest answers.
function M.answer(app, req, a, b, c, filter)
    ending.hold(app, req)
    finish(app, req, a, b, c, false, filter)
    ending.over(app, req)
end

--- C could not answer: an upstream failed, or content is beyond its limit.
function M.failed_below(app, slot, status, message)
    local req = request.objects[slot]
    if not req._held then ending.bring_back(req) end
    ending.hold(app, req)
    M.fail(app, req, status, { message = message }, rawget(req, "_keep"))
    ending.over(app, req)
end

return M
