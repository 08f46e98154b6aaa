--- Compressed content inflated as it arrives. In: an iterator of chunks; out: an iterator of pieces of at most
--- 64 KiB. The limit counts what comes out, so that a small body cannot become a large one unasked.
local ffi = require "ffi"
local abi = require "moongate.abi"
local pieces = require "moongate.pieces"

local M = {}

local C = abi.C
local ROOM = 65536
local BY_HEAD, RAW = 0, 1

-- Filled and read within one step, never across a wait.
local room = ffi.new("char[?]", ROOM)
local used, done = ffi.new("uint32_t[1]"), ffi.new("int32_t[1]")

local function finish(stream, message, status)
    if stream.z then C.mg_inflater_free(ffi.gc(stream.z, nil)) end
    stream.z, stream.chunk, stream.ended = nil, nil, true
    stream.message, stream.status = message, status
    return nil, message, status
end

--- One step over what is left of the chunk: bytes made, negative for bad data.
local function step(stream)
    local chunk, at = stream.chunk, stream.at
    local made = C.mg_inflater_step(stream.z, ffi.cast("const char *", chunk) + at, #chunk - at, used, room, ROOM, done)
    if made >= 0 then
        stream.at, stream.whole = at + used[0], done[0] == 1
        -- More may come of this chunk, or of what the room had no place for.
        if stream.at == #chunk and made < ROOM then stream.chunk = nil end
    end
    return made
end

local function next_piece(stream)
    if stream.ended then return nil, stream.message, stream.status end
    while true do
        if not stream.chunk then
            local chunk, message, status = stream.next_chunk()
            if status then return finish(stream, message, status) end
            if chunk == nil then
                if stream.whole then return finish(stream) end
                return finish(stream, "the compressed content ends too early", 400)
            end
            stream.chunk, stream.at = chunk, 0
        end
        local made = step(stream)
        if made < 0 then return finish(stream, "the content is not compressed as it says", 400) end
        stream.made = stream.made + made
        if stream.made > stream.limit then
            return finish(stream, ("the inflated content is longer than %d bytes"):format(stream.limit), 413)
        end
        if made > 0 then return ffi.string(room, made) end
    end
end

--- An iterator over the inflated content: `for piece in reader(…) do`, or called by hand: piece; nil at the
--- end; nil, message, status (400 for bad, truncated or trailing data, 413 beyond the limit, or the source's
--- own).
---@param next_chunk fun(): string?, string?, integer?
---@param limit integer bytes of inflated content
---@param is_raw? boolean raw deflate; otherwise gzip or zlib, told by the head
---@return fun(...): string?, string?, integer?
function M.reader(next_chunk, limit, is_raw)
    local z = C.mg_inflater_new(is_raw and RAW or BY_HEAD)
    local stream = { next_chunk = next_chunk, limit = limit, made = 0, at = 0, whole = false, ended = false }
    if z == nil then
        finish(stream, "out of memory for inflating", 503)
    else
        stream.z = ffi.gc(z, C.mg_inflater_free)
    end
    return pieces.iterator(next_piece, stream)
end

return M
