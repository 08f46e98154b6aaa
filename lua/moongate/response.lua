--- Answering: what a handler returned becomes bytes. A string is text, a table is JSON, a number a status; `mg.html` and its kin make
--- values (answers.lua); filters see one response object per slot. Errors are answered here, too.
local ffi = require "ffi"
local abi = require "moongate.abi"
local answers = require "moongate.answers"
local await = require "moongate.await"
local descriptor = require "moongate.descriptor"
local error_page = require "moongate.error_page"
local handles = require "moongate.handles"
local json = require "moongate.json"
local loop = require "moongate.loop"
local out = require "moongate.out"
local paths = require "moongate.paths"
local alive = require("moongate.programs").alive
local request = require "moongate.request"
local result = require "moongate.result"
local stacks = require "moongate.stack"

local M = {}

local C = abi.C
local type, error, getmetatable, setmetatable, rawset = type, error, getmetatable, setmetatable, rawset
local Response, is_response, shown = answers.Response, answers.is, loop.shown
local NONE, TEXT, JSON = C.MG_CONTENT_NONE, C.MG_CONTENT_TEXT, C.MG_CONTENT_JSON
local Result, result_of = result.Result, result.of
local set_one, set_field, set_fields, set_cookies = result.set_one, result.set_field, result.set_fields, result.set_cookies
local SET = C.MG_FIELD_SET

--- ---- errors ----

local KINDS = { [404] = "not-found", [405] = "method-not-allowed", [500] = "internal-error" }
local CODES = {
    ["not-found"] = 404, ["method-not-allowed"] = 405, ["internal-error"] = 500,
    ["handler-time"] = 503, ["out-of-memory"] = 503, ["request-time"] = 503, ["too-many-tasks"] = 503,
}
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
    return kind ~= nil and CODES[kind] == nil and app.error_handlers[kind] ~= nil
end

local function log(level, text)
    C.mg_log(abi.worker, level, text, #text)
end
M.log = log

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

local function plain_error(req, status, text)
    local body = ("%d %s%s\n"):format(status, phrase_of(status), text and ": " .. text or "")
    return C.mg_reply(abi.worker, req._slot, status, TEXT, body, #body)
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
    local ok, a, b, c = xpcall(handler.fn, M.traced, req, err)
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

local function is_error_status(status)
    return type(status) == "number" and status >= 400 and status <= 599 and status % 1 == 0
end

--- What an error value that was raised says: its status, kind and message.
function M.describe_error(value, stack)
    local status, err = 500, { value = value, raised = true }
    local is_answer = type(value) == "table" and (rawget(value, "status") ~= nil or rawget(value, "kind") ~= nil)
    if is_answer then
        err.kind, err.message = rawget(value, "kind"), rawget(value, "message")
        local given = rawget(value, "status")
        status = is_error_status(given) and given or CODES[err.kind] or 500
    end
    local text = is_answer and (rawget(value, "overrun") or stacks.answer(err.kind or value.status, err.message))
        or stacks.shown(value):gsub("^moongate%.%a+:%d+: ", "") -- after a tail call no line of the script is left to point at
    err.message = err.message or not is_answer and text or nil
    err.traceback = stack and stacks.clean(text .. "\n" .. stack) or text
    err.stack = stack
    return status, err
end

--- Whatever was raised as text, with where: for xpcall.
function M.traced(failure)
    local _, err = M.describe_error(failure, (debug.traceback("", 2):gsub("^\n", "")))
    return err.traceback
end

--- A handler raised (or its dispatcher died): log what nobody expected, answer, or cut the stream.
function M.raised(app, slot, value, stack)
    local req = request.objects[slot]
    local status, err = M.describe_error(value, stack)
    if value == await.CANCELLED then status, err = 503, { message = "the work was cancelled" } end
    local failed = rawget(req, "_failed") -- the content was broken: that is why, most likely
    if failed and status == 500 then
        status, err.message = failed, "the content could not be read"
    elseif status >= 500 and value ~= await.CANCELLED and not is_expected(app, err.kind) then
        log_failure(req, err.traceback)
    end
    M.hold(app, req)
    if req._p.flags % 4 >= 2 then -- MG_REQ_BEGUN
        C.mg_stream_end(abi.worker, slot, 1)
    else
        M.fail(app, req, status, err)
    end
    M.over(app, req)
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
    M.over(app, req)
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

local function stream(req, status, made)
    check_rc(C.mg_stream_begin(abi.worker, req._slot, status, made.content, made.length or -1), "stream")
    local writer = out.new(req)
    if made.events then made.events(out.events(writer)) else made.stream(writer) end
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
    M.over(app, req)
end

--- The fields of an answer, before its content.
local function apply(req, made)
    if made.headers then set_fields(req._slot, made.headers) end
    if made.cookies then set_cookies(req, made.cookies) end
    if made.reason and C.mg_reason(abi.worker, req._slot, made.reason, #made.reason) < 0 then error("reason: not a reason phrase", 0) end
    if made.type and not made.file then set_field(req._slot, "content-type", made.type, 0) end
end

--- What has content that is not a body at hand.
local function send_rest(app, req, made, status, keep)
    if made.file then return send_named_file(app, req, made.file, status, made.type, keep) end
    return stream(req, status, made)
end

local function send_response(app, req, made, status)
    apply(req, made)
    status = status or made.status or 200
    if made.file or made.stream or made.events then return send_rest(app, req, made, status) end
    return send(req, status, made.body, made.content)
end

--- Captures in the target of a redirect or of a proxied path. `encode`: they are put back as they came.
local function expand(req, template)
    local p = req._p
    local names = alive[p.program].names[p.match.route] or request.NO_NAMES
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
    set_field(req._slot, "location", to, 0)
    check_rc(C.mg_reply(abi.worker, req._slot, made.status, NONE, "", 0), "redirect")
end

local PROXY_ERRORS = { [-22] = 400, [-74] = 400, [-7] = 431, [-2] = 502, [-16] = 500 }

local function send_proxy(app, req, made, keep)
    local handle, message = handles.upstream(app.held, made.upstream)
    if not handle then error(message, 0) end
    local terms, why = handles.terms(app.held, made)
    if not terms then error(why, 0) end
    local target = made.options.path and expand(req, made.options.path) or ""
    if target ~= "" and req.query_string ~= "" then target = target .. "?" .. req.query_string end
    local text = rawget(req, "_text") -- what a filter has read whole is forwarded all the same
    local rc = C.mg_reply_proxy(abi.worker, req._slot, handle, terms, target, #target, text, text and #text or 0)
    if rc < 0 then M.fail(app, req, PROXY_ERRORS[rc] or 503, { message = "the request cannot be forwarded" }, keep) end
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

--- An answer by the app's error handler, said by a value instead of raised.
local Failure = {}
Failure.__index = Failure
function M.failure(status, kind, message)
    return setmetatable({ status = status, kind = kind, message = message }, Failure)
end

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
    local status = is_error_status(code) and code or CODES[code or ""] or 500 -- other numbers are codes of the system
    if status == 500 and not is_expected(app, code) then log_failure(req, "returned nil, " .. tostring(message)) end
    return M.failure(status, type(code) == "string" and code or nil, tostring(message))
end

--- An answer that went through filters.
local function finish_result(app, req, res)
    local rest, status, body = res._rest, res.status, res.body
    if res ~= req._res then error("a response of another request was returned", 0) end
    res._rest, res.body = false, false
    if body == nil or body == false then
        if getmetatable(rest) == Failure then
            if status ~= rest.status then rest = M.failure(status) end
            return M.fail(app, req, status, { kind = rest.kind, message = rest.message }, true)
        elseif is_response(rest) then
            return send_rest(app, req, rest, status, true)
        elseif rest then
            return send_descriptor(app, req, rest, true)
        end
        if is_error_status(status) and handler_for(app, status) then return M.fail(app, req, status, { message = phrase_of(status) }, true) end
        body = nil
    end
    return send(req, status, body, res._content or nil)
end

--- A status first: alone, with a body, with fields.
local function finish_status(app, req, status, body, headers, in_error)
    if headers ~= nil then
        if type(headers) ~= "table" then error("the third value that a handler returns is a table of header fields", 0) end
        set_fields(req._slot, headers)
    end
    if is_response(body) then return send_response(app, req, body, status) end
    if body == nil and not in_error and is_error_status(status) and handler_for(app, status) then
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
        elseif class == Failure then
            return M.fail(app, req, a.status, { kind = a.kind, message = a.message })
        elseif descriptor.is(a) then
            return send_descriptor(app, req, a)
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
    elseif getmetatable(value) == Failure then
        res.status, res._rest = value.status, value
    elseif descriptor.is(value) then
        res._rest = value
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
    res.status, res.body, res._content, res._rest = 200, false, false, false
    local kind = type(a)
    if kind == "string" then
        if b ~= nil then error(TWO_VALUES, 0) end
        res.body, res._content = a, TEXT
    elseif kind == "number" then
        if c ~= nil then set_fields(req._slot, c) end
        if is_response(b) then
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

--- ---- after the answer ----

local function run_hook(fn, req, where)
    local title = where and "on_done at " .. where or "an on_done hook"
    C.mg_beat_task(abi.worker, title, #title, 0) -- each has its own time
    local ok, message = xpcall(fn, M.traced, req)
    if not ok then log(3, ("on_done%s: %s"):format(where and " at " .. where or "", message)) end
end

local hooks_running, hooks_token, is_patient = 0, 0, true

--- The end of the worker waits for hooks that run still, until it is told not to.
function M.wait_for_hooks()
    if hooks_running == 0 or not is_patient then return end
    hooks_token = await.token()
    await.wait()
end

function M.wait_no_more()
    is_patient = false
    await.wake(hooks_token, true)
end

--- Waits for the last byte (or for the client's end), runs the hooks, lets the slot go.
local function done_task(app, req)
    local slot, task = req._slot, await.current()
    task.request = req
    local token = await.token()
    if C.mg_hold(abi.worker, slot, token) == 0 then await.wait() end
    for _, hook in ipairs(app.done) do run_hook(hook.fn, req, hook.where) end
    for _, fn in ipairs(req._hooks or {}) do run_hook(fn, req) end
    task.request = nil
    request.reset(req)
    C.mg_release(abi.worker, slot)
    hooks_running = hooks_running - 1
    if hooks_running == 0 then await.wake(hooks_token, true) end
end

--- Keeps the slot beyond its answer when somebody wants to know its end.
local function hold(app, req)
    if req._held or not (req._hooks or app.done[1]) then return end
    if C.mg_hold(abi.worker, req._slot, 0) < 0 then return end
    rawset(req, "_used", true)
    rawset(req, "_held", "waiting")
end

--- What the error handler shall find when an answer that C has taken over fails there, by slot.
local taken_over = {}

local function keep_for_failure(req)
    local kept = taken_over[req._slot]
    if not kept then
        kept = {}
        taken_over[req._slot] = kept
    end
    kept.generation, kept.id, kept.state, kept.erring = req._p.generation, rawget(req, "id"), rawget(req, "state"), rawget(req, "_erring")
    kept.keep = rawget(req, "_keep")
end

local function bring_back(req)
    local kept = taken_over[req._slot]
    if not kept then return end
    taken_over[req._slot] = nil
    if kept.generation ~= req._p.generation then return end
    rawset(req, "_used", true)
    rawset(req, "id", kept.id)
    rawset(req, "state", kept.state)
    rawset(req, "_erring", kept.erring)
    rawset(req, "_keep", kept.keep)
end

--- The request is over for its dispatcher.
function M.over(app, req)
    if req._held == "waiting" then
        rawset(req, "_held", "told")
        hooks_running = hooks_running + 1
        await.spawn(done_task, app, req).steady = true
    elseif not req._held and req._used then
        if req._p.flags % 8 < 4 then keep_for_failure(req) end -- not MG_REQ_ENDED
        request.reset(req)
    end
end

--- What the generated dispatcher calls for all but the simplest answers.
function M.answer(app, req, a, b, c, filter)
    hold(app, req)
    finish(app, req, a, b, c, false, filter)
    M.over(app, req)
end

--- C could not answer: an upstream failed, or content is beyond its limit.
function M.failed_below(app, slot, status, message)
    local req = request.objects[slot]
    if not req._held then bring_back(req) end
    hold(app, req)
    M.fail(app, req, status, { message = message }, rawget(req, "_keep"))
    M.over(app, req)
end

M.hold = hold

return M
