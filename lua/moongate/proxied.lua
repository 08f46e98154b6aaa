--- Requests that are passed on: what a descriptor of kind "proxy" means for one request. Sent on at once, the answer is C's from there on;
--- forwarded to be looked at, its response is a value (fetched.lua), and nothing is sent until it is returned.
local ffi = require "ffi"
local abi = require "moongate.abi"
local alive = require("moongate.programs").alive
local fetched = require "moongate.fetched"
local handles = require "moongate.handles"
local origins = require "moongate.origins"
local steer = require "moongate.steer"

local M = {}

local C = abi.C
local NO_NAMES = {}

--- A template taken apart once: text, a capture as it is written, text, a capture …
local function parts_of(template)
    local parts, from = {}, 1
    for at, mark, behind in template:gmatch("()([:*][%w_]*)()") do
        parts[#parts + 1] = template:sub(from, at - 1)
        parts[#parts + 1] = mark
        from = behind
    end
    parts[#parts + 1] = template:sub(from)
    return parts
end

--- What a capture of this request's route matched, as it came; the mark itself where the route has none of that name.
local function captured(p, names, mark)
    local name = mark == "*" and "*" or mark:sub(2)
    for at = 1, #names do
        if names[at] == name then
            local part = p.match.captures[at - 1]
            return ffi.string(p.path + part.at, part.bytes)
        end
    end
    return mark
end

--- Captures in the target of a redirect or of a proxied path, put back as they came.
---@param req table
---@param made moongate.Descriptor
---@param template string the one that it has
---@return string
function M.expand(req, made, template)
    local p, parts = req._p, made.parts
    if not parts then
        parts = parts_of(template)
        made.parts = parts
    end
    local names, text = alive[p.program].names[p.match.route] or NO_NAMES, parts[1]
    for at = 2, #parts, 2 do text = text .. captured(p, names, parts[at]) .. parts[at + 1] end
    return text
end

--- The path that is asked for; "": as it came.
local function target_of(req, made)
    local target = made.options.path and M.expand(req, made, made.options.path) or ""
    if target ~= "" and not target:find("?", 1, true) and req.query_string ~= "" then return target .. "?" .. req.query_string end
    return target
end

--- What C needs of a descriptor: handles of upstream and terms. Raises when they cannot be had.
local function handles_of(app, made)
    local upstream, message
    if made.origin then upstream, message = origins.open(made.origin) else upstream, message = handles.upstream(app.held, made.upstream) end
    if not upstream then error(message, 0) end
    local terms, why = handles.terms(app.held, made)
    if not terms then error(why, 0) end
    return upstream, terms
end

local ERRORS = { [-22] = 400, [-74] = 400, [-7] = 431, [-2] = 502, [-16] = 500 }

--- The status of a request that cannot be forwarded.
local function status_of(rc) return ERRORS[rc] or 503 end

--- The descriptor that a request goes by in the end, and Set-Cookie lines for its answer.
local function steered(req, made)
    local lines, one
    if made.split then
        made, one = steer.branch(req, made)
        lines = one and { one }
    end
    one = steer.apply(req, made)
    if one then
        lines = lines or {}
        lines[#lines + 1] = one
    end
    return made, lines
end

--- Adds such lines to the answer.
local function set_cookies(req, lines)
    for _, line in ipairs(lines or NO_NAMES) do C.mg_field_set(abi.worker, req._slot, "set-cookie", 10, line, #line, C.MG_FIELD_ADD) end
end

--- The fields of a response become those of the answer, but for those that were set for it.
---@param response moongate.Fetched
function M.take_fields(req, response)
    local head = fetched.head_text(response)
    C.mg_fetch_fields(abi.worker, req._slot, head, #head)
    set_cookies(req, response._cookies)
end

--- Passes a request on. 0; or the status to answer.
---@return integer
function M.send(app, req, made)
    local upstream, terms, cookies
    made, cookies = steered(req, made)
    upstream, terms = handles_of(app, made)
    set_cookies(req, cookies)
    local target, text = target_of(req, made), rawget(req, "_text") -- what a filter has read whole is forwarded all the same
    local rc = C.mg_reply_proxy(abi.worker, req._slot, upstream, terms, target, #target, text, text and #text or 0)
    return rc < 0 and status_of(rc) or 0
end

local CANNOT = "the request cannot be forwarded"
local REASONS = {
    [-32] = "the client has gone", [-16] = "its content was read, or sent, in pieces before: req:text() keeps it",
    [-24] = "too many fetches are open (limits.fetches)",
    [-114] = "it is answered already",
}

--- Forwards a request and waits for the head of the response. Or nil, message, status.
---@return moongate.Fetched?
---@return string? message
---@return any status
function M.forward(app, req, made)
    local upstream, terms, cookies
    made, cookies = steered(req, made)
    upstream, terms = handles_of(app, made)
    local target, text = target_of(req, made), rawget(req, "_text")
    local handle = C.mg_fetch_forward(abi.worker, req._slot, upstream, terms, target, #target, text, text and #text or 0)
    if handle < 0 then return nil, REASONS[handle] and CANNOT .. ": " .. REASONS[handle] or CANNOT, handle == -32 and "gone" or status_of(handle) end
    rawset(req, "_used", true)
    local anchor = fetched.anchor(handle)
    local status, message, code = fetched.head(handle, false)
    if not status then
        C.mg_fetch_close(abi.worker, handle)
        ffi.gc(anchor, nil)
        return nil, message, code
    end
    return fetched.new { handle = handle, anchor = anchor, status = status, is_bare = true, cookies = cookies }
end

return M
