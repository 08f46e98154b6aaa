--- multipart/form-data as it arrives (RFC 7578 over RFC 2046 §5.1). In: an iterator of chunks, cut anywhere;
--- out: an iterator of parts, each with an iterator of its content. It holds at most one chunk and the length
--- of a boundary, whatever the size of a part. Strict: what different readers might read differently is refused
--- with 400.
local negotiate = require "moongate.negotiate"
local pieces = require "moongate.pieces"
local units = require "moongate.units"

local M = {}

local find, sub = string.find, string.sub

local HEAD_BYTES_MAX, PARTS_MAX, BOUNDARY_BYTES_MAX = 8192, 1000, 70
local TEXT_BYTES = 1048576
M.HEAD_BYTES_MAX, M.PARTS_MAX = HEAD_BYTES_MAX, PARTS_MAX

--- The boundary that a Content-Type value announces.
---@param content_type string?
---@return string? boundary
---@return string? message
---@return integer? status 415: another type; 400: no boundary, or not a valid one
function M.boundary(content_type)
    local media = content_type and negotiate.media_type(content_type)
    if not media or media.type ~= "multipart" or media.subtype ~= "form-data" then
        return nil, "expected multipart/form-data, got " .. (content_type or "no content type"), 415
    end
    local boundary = media.params.boundary
    if not boundary then return nil, "multipart/form-data without a boundary", 400 end
    -- bchars, the last not a space.
    if #boundary > BOUNDARY_BYTES_MAX or not find(boundary, "^[%w'()+_,%-./:=? ]*[%w'()+_,%-./:=?]$") then
        return nil, "multipart/form-data with a boundary that is not valid", 400
    end
    return boundary
end

--- Where content stands:
---
---  PREAMBLE ─delimiter─▶ DELIMITED ─head─▶ CONTENT ─delimiter─▶ DELIMITED … ─"--"─▶ ENDED
---  and from each to FAILED.
local PREAMBLE, DELIMITED, CONTENT, ENDED, FAILED = "preamble", "delimited", "content", "ended", "failed"

local function fail(reader, message, status)
    reader.state, reader.message, reader.status = FAILED, message, status or 400
    return nil, reader.message, reader.status
end

--- Appends the next chunk to what is left of the buffer. False after a failure: too early an end is one.
local function fill(reader)
    local chunk, message, status = reader.next_chunk()
    while chunk == "" do chunk, message, status = reader.next_chunk() end
    if chunk == nil then
        fail(reader, message or "the content ends before its last boundary", status)
        return false
    end
    local buffer = reader.buffer
    reader.buffer = reader.at > #buffer and chunk or sub(buffer, reader.at) .. chunk
    reader.at = 1
    return true
end

--- From where on the buffer's end could be the beginning of a delimiter; behind its end: nothing is.
local function held_from(buffer, at, delimiter)
    local from = math.max(at, #buffer - #delimiter + 2)
    while true do
        from = find(buffer, "\r", from, true)
        if not from then return #buffer + 1 end
        if sub(buffer, from) == sub(delimiter, 1, #buffer - from + 1) then return from end
        from = from + 1
    end
end

--- Content up to the next delimiter: a piece that is not empty; nil at the delimiter, or after a failure with
--- its message and status.
local function next_content(reader)
    while reader.state == CONTENT or reader.state == PREAMBLE do
        local buffer, at, delimiter = reader.buffer, reader.at, reader.delimiter
        local found = find(buffer, delimiter, at, true)
        local stop
        if found then
            stop, reader.at, reader.state = found - 1, found + #delimiter, DELIMITED
        else
            stop = held_from(buffer, at, delimiter) - 1
            reader.at = stop + 1
        end
        local from = at
        if stop >= at then from, reader.lead = at + reader.lead, 0 end
        if stop >= from then return sub(buffer, from, stop) end
        if not found and not fill(reader) then break end
    end
    if reader.state == FAILED then return nil, reader.message, reader.status end
    return nil
end

--- Everything behind the last boundary is read and ignored, so that content which breaks off there is noticed.
local function skip_epilogue(reader)
    reader.state, reader.buffer, reader.at = ENDED, "", 1
    repeat
        local chunk, message, status = reader.next_chunk()
        if status then return fail(reader, message, status) end
    until chunk == nil
    return nil
end

--- Takes the text up to the empty line behind the delimiter: the head, without its last CRLF CRLF; "" when
--- there are no fields.
local function take_head(reader)
    while true do
        local buffer, at = reader.buffer, reader.at
        local line = find(buffer, "[^ \t]", at)
        if line and sub(buffer, line, line) ~= "\r" then
            return fail(reader, "something other than a line end follows a boundary")
        end
        -- The delimiter's own CRLF is the first half of an empty head.
        local from, to = find(buffer, "\r\n\r\n", line or #buffer + 1, true)
        -- Where an end was not found it may still begin in the last three bytes.
        if (from or #buffer - 3) - at > HEAD_BYTES_MAX then
            return fail(reader, ("the head of a part is longer than %d bytes"):format(HEAD_BYTES_MAX))
        end
        if from then
            if sub(buffer, line + 1, line + 1) ~= "\n" then return fail(reader, "a bare CR follows a boundary") end
            reader.at = to + 1
            return sub(buffer, line + 2, from - 1)
        end
        if not fill(reader) then return nil, reader.message, reader.status end
    end
end

--- The fields of a head by lower-case name, the first of one name; or nil and a message.
local function parse_fields(head)
    local fields, from = {}, 1
    while from <= #head do
        local stop = (find(head, "\r\n", from, true) or #head + 1) - 1
        local name, value = sub(head, from, stop):match("^([%w!#$%%&'*+%-.^_`|~]+):[ \t]*(.-)[ \t]*$")
        if not name or find(value, "[%z\1-\8\10-\31\127]") then return nil, "a malformed field in the head of a part" end
        name = name:lower()
        if not fields[name] then
            fields[name] = value
        elseif name == "content-disposition" then
            return nil, "a part with two Content-Disposition fields"
        end
        from = stop + 3
    end
    return fields
end

--- One quoted value: only `\"` is an escape, because old browsers send paths with plain backslashes. The value
--- and where it ends.
local function quoted(text, at)
    local from = at
    while true do
        local stop = find(text, '"', from, true)
        if not stop then return nil end
        -- The last quote of all closes: a name may end with a backslash.
        if stop == #text or sub(text, stop - 1, stop - 1) ~= "\\" then
            return (sub(text, at, stop - 1):gsub('\\"', '"')), stop + 1
        end
        from = stop + 1
    end
end

--- The parameters of a Content-Disposition value; or nil when it is not form-data, is malformed or names one twice.
local function disposition(value)
    local kind, at = value:match("^([^%s;]+)%s*()")
    if not kind or kind:lower() ~= "form-data" then return nil end
    local params = {}
    while at <= #value do
        local name, from = value:match("^;%s*([^%s;=\"]+)%s*=%s*()", at)
        if not name then return sub(value, at):find("^;%s*$") and params or nil end
        local found, stop
        if sub(value, from, from) == '"' then
            found, stop = quoted(value, from + 1)
        else
            found, stop = value:match("^([^%s;\"]*)()", from)
        end
        if not found or params[name:lower()] then return nil end
        params[name:lower()] = found
        at = value:match("^%s*()", stop)
        if at <= #value and sub(value, at, at) ~= ";" then return nil end
    end
    return params
end

local NAME_ESCAPES = { ["%22"] = '"', ["%0D"] = "\r", ["%0A"] = "\n", ["%0d"] = "\r", ["%0a"] = "\n" }

---@class moongate.Part
---@field name string
---@field filename? string its last segment; what the client says: never a path to write to. "": no file was chosen
---@field content_type string "text/plain" when the part does not say
---@field headers table<string, string> by lower-case name
local Part = {}
Part.__index = Part

--- The next piece of content; nil at the end; or nil, message, status.
---@return string? piece
function Part:read()
    local reader = self._reader
    if reader.part ~= self then
        if self._done then return nil end
        error(("part %q: its content has gone by, read a part before asking for the next"):format(self.name), 2)
    end
    local piece, message, status = next_content(reader)
    if piece == nil and not status then self._done = true end
    return piece, message, status
end

--- The content piece by piece: `for piece in part:chunks() do … end`.
function Part:chunks()
    return pieces.iterator(self.read, self)
end

--- The content as a string; or nil, message, status: 413 when it is longer than `limit`.
---@param limit? integer|string bytes or "64k"; 1 MiB
function Part:text(limit)
    local bytes = limit and assert(units.size(limit)) or TEXT_BYTES
    return pieces.gather(self.read, self, bytes, ("part %q"):format(self.name))
end

--- Writes the content to a file. The bytes written; or nil, message, code.
---@param path string
function Part:save(path)
    return require("moongate.spool").write(path, function() return self:read() end)
end

--- The part that a head begins.
local function new_part(reader, head)
    local fields, message = parse_fields(head)
    if not fields then return fail(reader, message) end
    local params = disposition(fields["content-disposition"] or "")
    if not params then return fail(reader, "a part without a well-formed Content-Disposition: form-data") end
    if not params.name then return fail(reader, "a part without a name") end
    local filename = params.filename
    if filename then filename = filename:gsub("%%22", '"'):match("[^/\\]*$") end
    local part = setmetatable({
        name = params.name:gsub("%%%x%x", NAME_ESCAPES), filename = filename, content_type = fields["content-type"] or "text/plain",
        headers = fields, _reader = reader, _done = false,
    }, Part)
    reader.part, reader.state = part, CONTENT
    -- The CRLF that ends the head may be the delimiter's too, of a part without content: look from there, but
    -- it is not content.
    reader.at, reader.lead = reader.at - 2, 2
    return part
end

--- The next part; nil behind the last; or nil, message, status.
local function next_part(reader)
    while reader.state == CONTENT or reader.state == PREAMBLE do
        if next_content(reader) == nil then break end
    end
    reader.part = nil
    if reader.state == FAILED then return nil, reader.message, reader.status end
    if reader.state == ENDED then return nil end
    while #reader.buffer - reader.at < 1 do
        if not fill(reader) then return nil, reader.message, reader.status end
    end
    if sub(reader.buffer, reader.at, reader.at + 1) == "--" then return skip_epilogue(reader) end
    reader.count = reader.count + 1
    if reader.count > PARTS_MAX then return fail(reader, ("more than %d parts"):format(PARTS_MAX)) end
    local head, message, status = take_head(reader)
    if not head then return nil, message, status end
    return new_part(reader, head)
end

--- The parts one after the other: `for part in multipart.parts(chunks, boundary) do … end`. Asking for the next
--- skips what is left of one.
---@param next_chunk fun(): string?, string?, integer? nil: the end; nil, message, status: a failure, which is passed on
---@param boundary string as boundary() gives it
---@return fun(...): moongate.Part?, string?, integer?
function M.parts(next_chunk, boundary)
    return pieces.iterator(next_part, {
        -- The first delimiter may be the very first bytes: an imagined line end stands before them.
        next_chunk = next_chunk, buffer = "\r\n", at = 1, delimiter = "\r\n--" .. boundary, state = PREAMBLE, count = 0, lead = 0, part = nil,
    })
end

return M
