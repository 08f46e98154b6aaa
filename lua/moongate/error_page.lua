--- What a client is shown of an error that nobody answered. In debug mode: the message, the lines around it as they were loaded, the stack,
--- the request without its secrets, the route and its filters; for what nothing fits, what was probably meant. Otherwise an id that the
--- log has, too, and nothing else. Out: HTML for browsers, JSON for programs that ask for it, text for all others; bounded in size.
local ffi = require "ffi"
local abi = require "moongate.abi"
local alive = require("moongate.programs").alive
local caller = require "moongate.caller"
local descriptor = require "moongate.descriptor"
local fits = require "moongate.fits"
local html = require "moongate.error_html"
local json = require "moongate.json"
local near = require "moongate.near"
local negotiate = require "moongate.negotiate"
local pattern = require "moongate.pattern"
local stacks = require "moongate.stack"

local M = {}

local C = abi.C
local AROUND = 4 -- lines shown above and below
local LINE_MAX, TEXT_MAX, VALUE_MAX, FIELDS_MAX, FRAMES_MAX, EXCERPTS_MAX, NEAR_MAX, FILTERS_MAX, ROUTES_MAX = 200, 4000, 500, 64, 40, 3, 3, 40, 2000

--- ---- secrets ----

local SECRETS = { "auth", "cookie", "token", "secret", "passw", "api[-_]?key", "session", "signature", "credential", "csrf", "xsrf", "jwt" }

--- Does a name say that its value is nobody's business?
---@param name string
function M.is_secret(name)
    name = name:lower()
    for _, pattern in ipairs(SECRETS) do
        if name:find(pattern) then return true end
    end
    return name:find("^x?%-?key$") ~= nil or name == "pass" or name == "pwd"
end

local function masked(value)
    return ("(%d bytes, not shown)"):format(#value)
end

--- The target, its secret parameters masked.
local function shown_target(target)
    return (target:gsub("([?&])([^=&]+)=([^&]*)", function(mark, name, value)
        return M.is_secret(name) and value ~= "" and ("%s%s=%s"):format(mark, name, "***") or nil
    end))
end

local function cut(text, most)
    return #text > most and text:sub(1, most) .. " …" or text
end

--- ---- source ----

--- The text of a file as this generation loaded it, and its name. Messages cut long names at the front.
local function source_of(living, name)
    local read = living and living.read
    if not read then return nil end
    local text = read.files[name]
    local tail = not text and name:match("^%.%.%.(.+)$")
    if tail then
        for _, path in ipairs(read.paths) do
            if path:sub(-#tail) == tail and read.files[path] then return read.files[path], path end
        end
    end
    return text or nil, name
end

--- The lines around one of a file.
---@return { file: string, line: integer, lines: { number: integer, text: string }[] }?
local function excerpt(living, file, line)
    local text, path = source_of(living, file)
    if not text then return nil end
    local made, number = { file = path, line = line, lines = json.array {} }, 0
    for one in (text .. "\n"):gmatch("([^\n]*)\n") do
        number = number + 1
        if number > line + AROUND then break end
        if number >= line - AROUND then made.lines[#made.lines + 1] = { number = number, text = cut(one:gsub("\r$", ""):gsub("\t", "    "), LINE_MAX) } end
    end
    return #made.lines > 0 and number >= line and made or nil
end

--- The place that the message names, then those of the user's frames.
local function excerpts_of(living, message, frames)
    local list, seen = json.array {}, {}
    local function add(file, line)
        local key = file and line and file .. ":" .. line
        if not key or seen[key] or #list >= EXCERPTS_MAX then return end
        seen[key] = true
        list[#list + 1] = excerpt(living, file, line)
    end
    local file, line = message:match("^(%S[^\n]-):(%d+): ")
    add(file, tonumber(line))
    for _, frame in ipairs(frames) do
        if not frame.is_own then add(frame.file, frame.line) end
    end
    return list
end

--- ---- what happened ----

local function fields_of(p)
    local list = json.array {}
    for at = 0, math.min(p.head.field_count, FIELDS_MAX) - 1 do
        local line = p.head.fields[at]
        local name, value = ffi.string(p.bytes + line.name.at, line.name.bytes), ffi.string(p.bytes + line.value.at, line.value.bytes)
        list[#list + 1] = { name = cut(name, VALUE_MAX), value = M.is_secret(name) and masked(value) or cut(value, VALUE_MAX) }
    end
    return list, math.max(0, p.head.field_count - FIELDS_MAX)
end

local function route_of(route)
    local handler = route.handler
    local where = descriptor.is(handler) and route.where or caller.definition(handler)
    return { route = pattern.label(route), where = route.where, handler = where, what = descriptor.is(handler) and descriptor.describe(handler) or nil }
end

local function filters_of(living, route, req)
    local list = json.array {}
    for _, filter in ipairs(living.filters_of(living.app, route)) do
        if #list >= FILTERS_MAX then break end
        if not filter.test or filter.test(req) then list[#list + 1] = { where = filter.where, pattern = (filter.host or "") .. filter.pattern } end
    end
    return list
end

--- The frames of the script first told, runs of our own as one line.
local function folded(frames)
    local list, own = json.array {}, 0
    local function fold()
        if own > 0 then list[#list + 1] = { text = ("%d of the gateway"):format(own), is_own = true } end
        own = 0
    end
    for _, frame in ipairs(frames) do
        if frame.is_own then
            own = own + 1
        else
            fold()
            if #list >= FRAMES_MAX then break end
            list[#list + 1] = { text = cut(frame.text, LINE_MAX), is_own = false }
        end
    end
    fold()
    return list
end

local function request_of(req)
    local fields, more = fields_of(req._p)
    return { method = req.method, target = cut(shown_target(req.target), 2000), fields = fields, more_fields = more > 0 and more or nil }
end

--- Where the request stood: its route and filters.
local function place(page, living, req)
    local route = living and living.by_number[req._p.match.route]
    if route then page.route = route_of(route) end
    if living then page.filters = filters_of(living, route, req) end
end

--- An error of a handler, a filter or a predicate.
local function failure_page(req, living, status, phrase, err)
    local text = tostring(err.traceback or err.message or "")
    local message = text:match("^(.-)\nstack traceback:\n") or text
    local frames = stacks.frames(err.stack or text)
    local page = { status = status, reason = phrase, id = req.id, message = cut(message, TEXT_MAX), request = request_of(req) }
    page.excerpts, page.stack = excerpts_of(living, message, frames), folded(frames)
    place(page, living, req)
    return page
end

--- Routes whose path fits, whatever their methods.
local function routes_at(living, p)
    local list = {}
    for at = 1, math.min(#living.app.routes, ROUTES_MAX) do
        local route = living.app.routes[at]
        if #list < NEAR_MAX and fits.path(route, p) then list[#list + 1] = route end
    end
    return list
end

--- No route: what there is near it.
local function missing_page(req, living, status, phrase, err)
    local page = { status = status, reason = phrase, message = err.message, request = request_of(req), near = json.array {} }
    place(page, living, req)
    if not living then return page end
    local is_method = status == 405
    page.allowed = is_method and fits.allowed(req._p) or nil
    for _, route in ipairs(is_method and routes_at(living, req._p) or near.routes(living.app.routes, req.path, NEAR_MAX)) do
        page.near[#page.near + 1] = { route = pattern.label(route), where = route.where }
    end
    return page
end

--- ---- as text ----

local function text_of(page)
    local lines = { ("%d %s%s"):format(page.status, page.reason, page.id and ": this request failed; its id in the log is " .. page.id or "") }
    local function put(text, ...) lines[#lines + 1] = text:format(...) end
    put("\n%s", page.message or "")
    for _, one in ipairs(page.excerpts or {}) do
        put("\n%s:%d", one.file, one.line)
        for _, line in ipairs(one.lines) do put("%s %4d | %s", line.number == one.line and ">" or " ", line.number, line.text) end
    end
    if page.stack and #page.stack > 0 then put("\nstack traceback:") end
    for _, frame in ipairs(page.stack or {}) do put("    %s", frame.is_own and "(" .. frame.text .. ")" or frame.text) end
    for _, route in ipairs(page.near or {}) do
        put("%s %s (%s)%s", page.status == 405 and "at this path:" or "did you mean", route.route, route.where, page.status == 405 and "" or "?")
    end
    if page.allowed then put("allowed: %s", page.allowed) end
    if page.route then put("\nroute   %s (%s)", page.route.route, page.route.where) end
    for at, filter in ipairs(page.filters or {}) do put("%s %d. %s  %s", at == 1 and "filters" or "       ", at, filter.where, filter.pattern) end
    put("\n%s %s", page.request.method, page.request.target)
    for _, field in ipairs(page.request.fields) do put("%s: %s", field.name, field.value) end
    return table.concat(lines, "\n") .. "\n"
end

--- What a client asks for, of what can be made. Those that take anything get text.
local function form_for(req)
    local accept = req.headers.accept
    if not accept then return "text" end
    return negotiate.accepts(accept, { "text", "json", "html" }) or "text"
end

local MAKERS = {
    text = function(page) return text_of(page), C.MG_CONTENT_TEXT end,
    json = function(page) return json.encode(page) .. "\n", C.MG_CONTENT_JSON end,
    html = function(page) return html.page(page), C.MG_CONTENT_HTML end,
}

local SHORT = {
    text = function(status, phrase, id)
        return ("%d %s: this request failed; its id in the log is %s\n"):format(status, phrase, id), C.MG_CONTENT_TEXT
    end,
    json = function(status, phrase, id)
        return json.encode { status = status, error = phrase, id = id } .. "\n", C.MG_CONTENT_JSON
    end,
    html = function(status, phrase, id) return html.short(status, phrase, id), C.MG_CONTENT_HTML end,
}

--- What everybody may see of a failure: an id.
---@return string body
---@return integer content enum mg_content
function M.short(req, status, phrase)
    return SHORT[form_for(req)](status, phrase, req.id)
end

local PLAIN = {
    text = function(status, phrase, message) return ("%d %s%s\n"):format(status, phrase, message and ": " .. message or ""), C.MG_CONTENT_TEXT end,
    json = function(status, phrase, message)
        return json.encode { status = status, error = phrase, message = message } .. "\n", C.MG_CONTENT_JSON
    end,
    html = function(status, phrase, message) return html.plain(status, phrase, message), C.MG_CONTENT_HTML end,
}

--- An error that is meant: what it is, and its message, in the form that the client likes best.
---@param message? string
---@return string body
---@return integer content enum mg_content
function M.plain(req, status, phrase, message)
    return PLAIN[form_for(req)](status, phrase, message)
end

--- What those who debug see; nil: there is no more to say than the message.
---@param err table { message=, traceback=, stack= }
---@param phrase string
---@return string? body
---@return integer? content enum mg_content
function M.full(req, status, err, phrase)
    local living, number = alive[req._p.program], req._p.match.route
    local page
    if status == 500 then
        page = failure_page(req, living, status, phrase, err)
    elseif status == 404 and number == C.MG_ROUTE_NOT_FOUND or status == 405 and number == C.MG_ROUTE_METHOD then
        page = missing_page(req, living, status, phrase, err)
    else
        return nil
    end
    return MAKERS[form_for(req)](page)
end

return M
