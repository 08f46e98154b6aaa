--- The text of every file that a generation is made of, in one descriptor: written by whoever has checked it, read by the workers that
--- build it, so that all of them run exactly what was checked, whatever is on the disk by then. What was looked for and missing is part
--- of it: a file that appears in between is not found either.
local ffi = require "ffi"
local abi = require "moongate.abi"

local M = {}

local HEAD, END = "moongate sources 1\n", "end\n"
local READ_BYTES = 65536

---@class moongate.Snapshot
---@field files table<string, string|false> path → text; false: it was missing
---@field paths string[] in the order they were asked for
local Snapshot = {}
Snapshot.__index = Snapshot

--- Nothing in it.
---@return moongate.Snapshot
function M.new()
    return setmetatable({ files = {}, paths = {} }, Snapshot)
end

--- Keeps what a path holds, the first time it is told. `text` false: no such file.
---@param path string
---@param text string|false
function Snapshot:add(path, text)
    if self.files[path] ~= nil then return end
    self.files[path] = text
    self.paths[#self.paths + 1] = path
end

--- As bytes: a line of lengths before each path and text.
---@return string
function Snapshot:encode()
    local parts = { HEAD }
    for _, path in ipairs(self.paths) do
        local text = self.files[path]
        parts[#parts + 1] = text and ("file %d %d\n%s%s\n"):format(#path, #text, path, text) or ("none %d\n%s\n"):format(#path, path)
    end
    parts[#parts + 1] = END
    return table.concat(parts)
end

--- One entry that begins at `at`: where the next begins, or nil.
local function decode_entry(made, bytes, at)
    local path_bytes, text_bytes, from = bytes:match("^file (%d+) (%d+)\n()", at)
    if not path_bytes then
        path_bytes, from = bytes:match("^none (%d+)\n()", at)
        if not path_bytes then return nil end
    end
    local middle = from + tonumber(path_bytes)
    local last = middle + (tonumber(text_bytes) or 0)
    if bytes:byte(last) ~= 10 then return nil end
    made:add(bytes:sub(from, middle - 1), text_bytes and bytes:sub(middle, last - 1) or false)
    return last + 1
end

--- Bytes that encode() made. nil when they are not, or not whole.
---@param bytes string
---@return moongate.Snapshot?
function M.decode(bytes)
    if bytes:sub(1, #HEAD) ~= HEAD then return nil end
    local made, at = M.new(), #HEAD + 1
    while at and bytes:sub(at) ~= END do
        if at > #bytes then return nil end
        at = decode_entry(made, bytes, at)
    end
    return at and made
end

--- Writes a text to a descriptor, all of it. true; or nil, message, code.
---@param fd integer
---@param text string
function M.write(fd, text)
    local rc = abi.C.mg_fd_write(fd, text, #text)
    if rc < 0 then return abi.failed(rc, "descriptor " .. fd) end
    return true
end

--- Reads what encode() gave from a descriptor, from its beginning. The snapshot; or nil and a message.
---@param fd integer
---@return moongate.Snapshot?
---@return string? message
function M.read(fd)
    local parts, at, buffer = {}, 0, ffi.new("char[?]", READ_BYTES)
    while true do
        local count = abi.C.mg_fd_read(fd, buffer, READ_BYTES, at)
        if count < 0 then return nil, select(2, abi.failed(count, "reading the sources")) end
        if count == 0 then break end
        parts[#parts + 1] = ffi.string(buffer, count)
        at = at + count
    end
    local made = M.decode(table.concat(parts))
    if not made then return nil, "the sources that the master keeps are not whole" end
    return made
end

return M
