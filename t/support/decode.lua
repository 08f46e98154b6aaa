--- Codings undone, for specs, by other programs' or libraries' own decoders: decode.gzip, decode.br, decode.zstd of packed bytes. Each raises
--- when they are not whole.
local ffi = require "ffi"
local gzip = require "t.support.gzip"

local M = { gzip = gzip.gunzip }

ffi.cdef [[
int BrotliDecoderDecompress(size_t encoded_size, const char *encoded_buffer, size_t *decoded_size, char *decoded_buffer);
size_t ZSTD_decompress(void *dst, size_t dstCapacity, const void *src, size_t compressedSize);
unsigned ZSTD_isError(size_t code);
]]

local ROOM = 16777216

function M.br(packed)
    local out, bytes = ffi.new("char[?]", ROOM), ffi.new("size_t[1]", ROOM)
    assert(ffi.load("brotlidec.so.1").BrotliDecoderDecompress(#packed, packed, bytes, out) == 1, "this is not br")
    return ffi.string(out, bytes[0])
end

function M.zstd(packed)
    local lib, out = ffi.load("zstd.so.1"), ffi.new("char[?]", ROOM)
    local bytes = lib.ZSTD_decompress(out, ROOM, packed, #packed)
    assert(lib.ZSTD_isError(bytes) == 0, "this is not zstd")
    return ffi.string(out, bytes)
end

return M
