--- Forms: what `req:form()`, `req:parts()` and `req:inflated()` do. In: a request (its headers, text and
--- chunks); out: fields and files, parts, or inflated content. Failures are nil, message, status.
local multipart = require "moongate.multipart"
local negotiate = require "moongate.negotiate"
local pieces = require "moongate.pieces"
local query = require "moongate.query"
local units = require "moongate.units"

local M = {}

local INFLATED_BYTES = 10 * 1048576

--- What form() holds in memory unless told otherwise. Bodies are limited before that: see `body` of the route.
local DEFAULTS = { field = 65536, file = 1048576, total = 10 * 1048576 }

local function limits_of(options)
    local limits = {}
    for key, value in pairs(options or {}) do
        if key == "on_file" then
            if type(value) ~= "function" then error("form: on_file: expected a function, got " .. type(value), 4) end
        elseif DEFAULTS[key] then
            local bytes, message = units.size(value)
            if not bytes then error(("form: %s: %s"):format(key, message), 4) end
            limits[key] = bytes
        else
            error(("form: %s: no such option; there are field, file, total, on_file"):format(tostring(key)), 4)
        end
    end
    for key, value in pairs(DEFAULTS) do limits[key] = limits[key] or value end
    return limits
end

local function keep_field(part, limit)
    local text, message, status = pieces.gather(part.read, part, limit, ("field %q"):format(part.name))
    if not text then return nil, message, status end
    return text, #text
end

--- A file in memory; nil without a message for the empty part of an input in which nothing was chosen.
local function keep_file(part, limit)
    local content, message, status = pieces.gather(part.read, part, limit, ("file %q"):format(part.name))
    if not content then return nil, message, status end
    if part.filename == "" and content == "" then return nil end
    local file = { name = part.name, filename = part.filename, content_type = part.content_type, content = content, bytes = #content }
    return file, #content
end

---@class moongate.FormOptions
---@field field? integer|string the longest field: "64k"
---@field file? integer|string the longest file in memory: "1m"
---@field total? integer|string all that is held in memory: "10m"
---@field on_file? fun(part: moongate.Part): any, string?, integer?

--- Collects a form's parts. Values of one name: the first, and all of them by query.all(). A part with a
--- filename is a file: it is held in memory as { name, filename, content_type, content, bytes }, or given to
--- `on_file(part)`, whose result takes its place (nil, message, status fails the form). A file input in which
--- nothing was chosen is left out.
---@param next_part fun(): moongate.Part?, string?, integer?
---@param options? moongate.FormOptions
---@return table<string, string>? fields
---@return table<string, any>|string files or message
---@return integer? status 413 beyond a limit
function M.collect(next_part, options)
    local limits = limits_of(options)
    local on_file = options and options.on_file
    local fields, files, left = {}, {}, limits.total
    while true do
        local part, message, status = next_part()
        if status then return nil, message, status end
        if not part then return fields, files end
        local is_file = part.filename ~= nil
        local value, held
        if not is_file then
            value, held, status = keep_field(part, math.min(limits.field, left))
        elseif on_file and part.filename ~= "" then
            value, held, status = on_file(part)
        else
            value, held, status = keep_file(part, math.min(limits.file, left))
        end
        -- On failure the second value is the message.
        if value == nil and held ~= nil then return nil, held, status or 400 end
        if value ~= nil then query.add(is_file and files or fields, part.name, value) end
        if type(held) == "number" and not (on_file and is_file) then left = left - held end
    end
end

--- The fields and files of a request's form, urlencoded or multipart.
---@param req table
---@param options? table as collect() takes them
function M.read(req, options)
    local content_type = req.headers["content-type"]
    local media = content_type and negotiate.media_type(content_type)
    if media and media.type == "application" and media.subtype == "x-www-form-urlencoded" then
        local text, message, status = req:text()
        if not text then return nil, message, status end
        local fields
        fields, message, status = query.parse(text)
        if not fields then return nil, message, status end
        return fields, {}
    end
    local boundary, message, status = multipart.boundary(content_type)
    if not boundary then
        if status == 415 then message = "expected a form (urlencoded or multipart), got " .. (content_type or "no content type") end
        return nil, message, status
    end
    return M.collect(multipart.parts(req:chunks(), boundary), options)
end

--- The parts of a request's multipart form: an iterator.
---@param req table
function M.parts(req)
    local boundary, message, status = multipart.boundary(req.headers["content-type"])
    if not boundary then return nil, message, status end
    return multipart.parts(req:chunks(), boundary)
end

--- Content as it is, counted.
local function next_counted(stream)
    local piece, message, status = stream.next_chunk()
    if piece == nil then return nil, message, status end
    stream.left = stream.left - #piece
    if stream.left < 0 then return nil, ("the content is longer than %d bytes"):format(stream.limit), 413 end
    return piece
end

--- A request's content without its Content-Encoding (gzip, deflate or none): an iterator; or nil, message, 415
--- for another coding.
---@param req table
---@param limit? integer|string bytes of inflated content; 10 MiB
function M.inflated(req, limit)
    local bytes = limit == nil and INFLATED_BYTES or units.size(limit)
    if not bytes then error("inflated: " .. select(2, units.size(limit)), 3) end
    local coding = (req.headers["content-encoding"] or "identity"):lower():match("^%s*(.-)%s*$")
    if coding == "gzip" or coding == "x-gzip" or coding == "deflate" then
        return require("moongate.inflate").reader(req:chunks(), bytes)
    elseif coding == "identity" then
        return pieces.iterator(next_counted, { next_chunk = req:chunks(), left = bytes, limit = bytes })
    end
    return nil, ("content coding %q is not supported: gzip and deflate are"):format(coding), 415
end

return M
