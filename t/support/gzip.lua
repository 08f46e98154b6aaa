--- Compressed bytes for specs, made by the gzip command: a gzip member, and from it the zlib and raw forms.
local bit = require "bit"
local M = {}

--- One gzip member (RFC 1952) without a name in its head.
function M.gzip(text)
    local name = os.tmpname()
    local f = assert(io.open(name, "wb"))
    f:write(text)
    f:close()
    local p = assert(io.popen("gzip -nc " .. name))
    local packed = p:read("*a")
    p:close()
    os.remove(name)
    return packed
end

--- What a member holds; raises when it is none.
function M.gunzip(packed)
    local name = os.tmpname()
    local f = assert(io.open(name, "wb"))
    f:write(packed)
    f:close()
    local p = assert(io.popen("gzip -dc <" .. name .. " && echo ok"))
    local text = p:read("*a")
    p:close()
    os.remove(name)
    assert(text:sub(-3) == "ok\n", "this is not gzip")
    return text:sub(1, -4)
end

--- Raw deflate (RFC 1951): a member without its head of 10 and its tail of 8 bytes.
function M.raw(text) return M.gzip(text):sub(11, -9) end

--- RFC 1950: a head of two bytes and the Adler-32 of the text behind it.
function M.zlib(text)
    local a, b = 1, 0
    for i = 1, #text do
        a = (a + text:byte(i)) % 65521
        b = (b + a) % 65521
    end
    local tail = string.char(bit.rshift(b, 8), bit.band(b, 255), bit.rshift(a, 8), bit.band(a, 255))
    return "\120\156" .. M.raw(text) .. tail
end

return M
