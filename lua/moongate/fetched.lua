--- A response that a script holds: of `mg.fetch`, of `req:forward`, or of a proxied route that a filter looks at. Its head is here; its content
--- comes as it is asked for, and its server waits meanwhile. Returned from a handler it is the answer: status, fields and content go to the
--- client without passing through Lua. It is let go with the request that it was made in, when it is whole, closed, or collected.
local ffi = require "ffi"
local abi = require "moongate.abi"
local await = require "moongate.await"
local pieces = require "moongate.pieces"
local units = require "moongate.units"

local M = {}

local C = abi.C
local str, type, error = ffi.string, type, error
local EAGAIN, EPIPE = -11, -32

M.BYTES_MAX = 8388608 -- of text() and json() unless more is asked for

---@class moongate.Fetched
---@field status integer
---@field ok boolean 200 to 299
---@field url? string where it came from in the end
---@field headers table<string, string> the first value of each name, any case
local Fetched = {}
local methods = {}

--- ---- waiting for it ----

--- Waits for the token named last, until the deadline. false: the time is over. Whoever is cancelled meanwhile gives up the fetch.
---@param token number
---@param deadline number|false of mg_now()
---@param handle integer
function M.wait(token, deadline, handle)
    local timer = deadline and C.mg_timer(abi.worker, math.max(deadline - C.mg_now(abi.worker), 0), token) or -1
    local value, why = await.wait_raw("server")
    if timer >= 0 and value ~= 0 then C.mg_timer_cancel(abi.worker, timer) end
    if not why then return value ~= 0 end
    C.mg_fetch_close(abi.worker, handle)
    error(await.CANCELLED, 0)
end

local collected = ffi.typeof("int32_t[1]")

--- Called by the collector.
local function release(anchor)
    if abi.worker then C.mg_fetch_close(abi.worker, anchor[0]) end
end

local function let_go(self)
    if not self._handle then return end
    if abi.worker then C.mg_fetch_close(abi.worker, self._handle) end
    self._handle = false
    ffi.gc(self._anchor, nil)
    self._anchor = false
end

--- ---- its head ----

--- Fields as a list of { name, value }, from the text of the head.
local function fields_of(self)
    local list = self._fields
    if list then return list end
    list = {}
    for line in self._head:gmatch("\r\n([^\r]+)") do
        local name, value = line:match("^([^:]+):[ \t]*(.-)[ \t]*$")
        list[#list + 1] = { name, value }
    end
    self._fields = list
    return list
end

local Headers = {}
function Headers.__index(headers, name)
    if type(name) ~= "string" then return nil end
    local values = methods.header_values(headers[1], name)
    return values[1]
end
function Headers.__newindex()
    error("res.headers of a fetched response is read-only; fields of the answer are set in a filter, or returned: status, body, fields", 2)
end

--- Every value of a field, in the order they came.
---@param name string
---@return string[]
function methods:header_values(name)
    local values, wanted = {}, name:lower()
    for _, field in ipairs(fields_of(self)) do
        if field[1]:lower() == wanted then values[#values + 1] = field[2] end
    end
    return values
end

--- All fields as a list of { name, value }, as they came.
function methods:header_list()
    local list = {}
    for at, field in ipairs(fields_of(self)) do list[at] = { field[1], field[2] } end
    return list
end

function Fetched.__index(self, key)
    local method = methods[key]
    if method then return method end
    if key == "headers" then
        local headers = setmetatable({ self }, Headers)
        self.headers = headers
        return headers
    end
    if type(key) == "string" and key:byte() == 95 then return nil end
    local message, hint = require("moongate.names").missing("fetched", key)
    error(("%s (%s)"):format(message, hint), 2)
end

--- ---- its content ----

local CLOSED = "this response was closed, or the request that it was for is over"

--- The next piece, nil at the end; or nil, message, code.
local function next_piece(self)
    local whole = self._text
    if whole then
        if self._given or whole == "" then return nil end
        self._given = true
        return whole
    end
    if self._failed then return nil, self._failed, self._code end
    if self._ended then return nil end
    while true do
        if not self._handle then return nil, CLOSED, "closed" end
        if self._reader and await.is_waiting(self._reader) then error("the content is being read by another task", 0) end
        local token = await.token()
        local bytes = C.mg_fetch_read(abi.worker, self._handle, token)
        if bytes > 0 then return str(abi.border.text, bytes) end
        if bytes == 0 then
            self._ended = true
            let_go(self)
            return nil
        elseif bytes == EPIPE then
            self._failed, self._code = str(abi.border.text, abi.border.text_bytes), 502
            let_go(self)
            return nil, self._failed, self._code
        elseif bytes ~= EAGAIN then
            let_go(self)
            return nil, CLOSED, "closed"
        end
        self._reader = token
        if not M.wait(token, self._deadline, self._handle) then
            self._failed, self._code = "its content did not come in time", 504
            let_go(self)
            return nil, self._failed, self._code
        end
    end
end

local function begin_reading(self, how)
    if self._reading then error(("res:%s(): the content was taken by res:%s() already"):format(how, self._reading), 3) end
    self._reading = how
end

--- The content piece by piece, as it comes: `for piece in res:chunks() do … end`. A failure raises with its status unless it is asked for:
--- `local next = res:chunks(); local piece, message, code = next()`.
---@return fun(): string?, string?, any
function methods:chunks()
    begin_reading(self, "chunks")
    if not self._timed then self._deadline = false end -- a stream may go on; its server's silence has a limit all the same
    return pieces.iterator(next_piece, self)
end

--- The whole content as a string; or nil, message, code ("too-long" beyond `limit` bytes).
---@param limit? integer|string instead of the option `max`, or 8 MiB
---@return string? text
---@return string? message
---@return any code
function methods:text(limit)
    local most = self._max
    if limit then
        local bytes, why = units.size(limit)
        if not bytes then error("res:text: " .. why, 2) end
        most = bytes
    end
    if not self._text then
        begin_reading(self, "text")
        local text, message, code = pieces.gather(next_piece, self, most, "the content")
        if not text then
            if code == 413 then message, code = ("the content is longer than %s"):format(units.show_size(most)), "too-long" end
            self._failed, self._code, self._reading = message, code, nil
            let_go(self)
            return nil, message, code
        end
        self._text = text
    elseif #self._text > most then
        return nil, ("the content is longer than %s"):format(units.show_size(most)), "too-long"
    end
    self._reading = "text"
    return self._text
end

--- The content as JSON; or nil, message, code (502 for what is none).
---@param limit? integer|string as of text()
function methods:json(limit)
    local text, message, code = self:text(limit)
    if not text then return nil, message, code end
    local value, why = require("moongate.json").decode(text)
    if value == nil then return nil, why, 502 end
    return value
end

--- Writes the content to a file as it comes: the bytes written; or nil, message, code.
---@param path string
function methods:save(path)
    begin_reading(self, "save")
    return require("moongate.spool").write(path, pieces.iterator(next_piece, self))
end

--- Gives up what has not been read of it. Its connection is used again only when all had come.
function methods:close()
    if self._handle then self._failed, self._code = CLOSED, "closed" end
    let_go(self)
end

--- ---- for other modules ----

--- Is this such a value?
function M.is(value) return getmetatable(value) == Fetched end

--- Waits for the head of a fetch: its status; or nil, message, code.
---@param handle integer
---@param deadline number|false
---@return integer? status
---@return string? message
---@return any code
function M.head(handle, deadline)
    while true do
        local token = await.token()
        local status = C.mg_fetch_head(abi.worker, handle, token)
        if status > 0 then return status end
        if status == -9 then return nil, CLOSED, "closed" end
        if status < 0 then return nil, str(abi.border.text, abi.border.text_bytes), status == -499 and "gone" or -status end
        if not M.wait(token, deadline, handle) then return nil, "no response in time", 504 end
    end
end

--- Keeps a fetch from being forgotten when whoever waits for it is stopped.
---@param handle integer
function M.anchor(handle)
    return ffi.gc(collected(handle), release)
end

---@class moongate.FetchedParts
---@field handle integer
---@field anchor any of M.anchor()
---@field status integer
---@field url? string
---@field deadline? number|false
---@field timed? boolean the deadline holds for what is read piece by piece, too
---@field max? integer
---@field is_bare? boolean its slot is kept though it is whole: the answer to a HEAD, or what a proxied answer is made of
---@field upload? { busy: boolean }
---@field cookies? string[] lines that the answer made of it sets

--- The object of a fetch whose head has come. What is whole already is taken, and its slot is free.
---@param fields moongate.FetchedParts
---@return moongate.Fetched
function M.new(fields)
    local self = setmetatable({
        status = fields.status, ok = fields.status >= 200 and fields.status < 300, url = fields.url,
        _handle = fields.handle, _anchor = fields.anchor, _deadline = fields.deadline or false, _timed = fields.timed or false,
        _max = fields.max or M.BYTES_MAX, _head = "", _text = false, _upload = fields.upload or false,
        _cookies = fields.cookies or false,
    }, Fetched)
    local is_whole = C.mg_fetch_text(abi.worker, fields.handle) == 1
    self._head = str(abi.border.text, abi.border.text_bytes)
    if is_whole and not fields.is_bare then
        local text, bytes = "", C.mg_fetch_read(abi.worker, fields.handle, 0)
        if bytes > 0 then text = str(abi.border.text, bytes) end
        self._text = text
        let_go(self)
    end
    return self
end

--- All that is left of it is here: it may be answered with as a string.
---@return string?
function M.whole(self) return self._text or nil end

--- The text of its head: status line and fields.
function M.head_text(self) return self._head end

--- Its slot, given away to whoever answers with it; or nil and why it cannot be.
---@return integer? handle
---@return string? message
function M.take(self)
    local handle = self._handle
    if not handle then return nil, self._failed or CLOSED end
    if self._reading then return nil, ("its content was read by res:%s(): answer with what came of it"):format(self._reading) end
    ffi.gc(self._anchor, nil)
    self._handle, self._anchor = false, false
    return handle
end

--- Is content of its request still on the way up?
function M.is_uploading(self) return self._upload and self._upload.busy end

--- The next piece of what is left; as chunks() asked by hand.
M.next_piece = next_piece

M.let_go = let_go
M.methods = methods

return M
