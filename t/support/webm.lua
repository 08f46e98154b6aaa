--- A video for browsers (WebM: RFC 9559), made here: one picture of 16 by 16 points a second, each in a cluster of its own that is filled up to
--- a size, with an index. Large enough that a browser which seeks asks for a part of the file.
local ffi = require "ffi"

local M = {}

--- A key frame of VP8: all of one blue.
local FRAME = ("9001009d012a1000100002c04c25a00274ba00039800feea65ff51110525a97c42ef64060000")
    :gsub("%x%x", function(hex) return string.char(tonumber(hex, 16)) end)

local function bytes_of(number, count)
    local out = {}
    for at = count, 1, -1 do
        out[at] = string.char(number % 256)
        number = math.floor(number / 256)
    end
    return table.concat(out)
end

local function float_of(number)
    local bits = ffi.new("union { double d; uint8_t b[8]; }", number)
    local out = {}
    for at = 0, 7 do out[8 - at] = string.char(bits.b[at]) end
    return table.concat(out)
end

--- One element: its id, its length in eight bytes, its content.
local function element(id, content)
    return id .. "\1" .. bytes_of(#content, 7) .. content
end

local function number(id, value) return element(id, bytes_of(value, 4)) end

local function cluster(second, size)
    local content = number("\231", second * 1000) .. element("\163", "\129\0\0\128" .. FRAME)
    return element("\31\67\182\117", content .. element("\236", ("\0"):rep(size - #content - 12 - 9)))
end

--- So many seconds of it, each of `size` bytes.
---@param seconds integer
---@param size integer
---@return string
function M.make(seconds, size)
    local head = element("\26\69\223\163", number("\66\134", 1) .. number("\66\247", 1) .. number("\66\242", 4) .. number("\66\243", 8)
        .. element("\66\130", "webm") .. number("\66\135", 4) .. number("\66\133", 2))
    local info = element("\21\73\169\102", number("\42\215\177", 1000000) .. element("\68\137", float_of(seconds * 1000))
        .. element("\77\128", "spec") .. element("\87\65", "spec"))
    local tracks = element("\22\84\174\107", element("\174", number("\215", 1) .. number("\115\197", 1) .. number("\131", 1) .. element("\134", "V_VP8")
        .. element("\224", number("\176", 16) .. number("\186", 16))))
    local function cues(first)
        local points = {}
        for second = 0, seconds - 1 do
            local position = element("\183", number("\247", 1) .. number("\241", first + second * size))
            points[#points + 1] = element("\187", number("\179", second * 1000) .. position)
        end
        return element("\28\83\187\107", table.concat(points))
    end
    local before = #info + #tracks + #cues(0)
    local parts = { info, tracks, cues(before) }
    for second = 0, seconds - 1 do parts[#parts + 1] = cluster(second, size) end
    return head .. element("\24\83\128\103", table.concat(parts))
end

return M
