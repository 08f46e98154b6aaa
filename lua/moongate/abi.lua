--- The border as Lua sees it: the one ffi.cdef of the tree, the C functions, and the memory that is shared with them.
--- Call as `C.mg_x(…)`: a cached function value would not compile as well.
local ffi = require "ffi"

local M = {}

ffi.cdef(require "moongate.cdef")

--- Where the functions are: the program itself, or what a spec has loaded.
M.C = package.loaded["moongate.library"] or ffi.C
local C = M.C

--- The worker, its border and its statistics; nil in a process that is not a worker.
M.worker, M.border, M.stats = nil, nil, nil

--- Called once, by the worker's first module.
function M.attach(worker)
    M.worker = ffi.cast("struct mg_worker *", worker)
    M.border = C.mg_border(M.worker)
    M.stats = C.mg_stats(M.worker)
end

local message = ffi.new("char[512]")

--- Is this a well-formed route pattern?
---@param pattern string
---@return boolean? ok
---@return string? message
function M.pattern_check(pattern)
    if C.mg_pattern_check(pattern, #pattern, message, 512) == 0 then return true end
    return nil, ffi.string(message)
end

local ENOENT = -2

--- Why the system does not know a host name; nil when it does, or did not say within so many milliseconds.
---@param host string
---@param wait_ms integer
---@return string? why
function M.unknown_host(host, wait_ms)
    if C.mg_host_known(host, #host, wait_ms, message, 512) == ENOENT then return ffi.string(message) end
    return nil
end

local settings_rows

--- The table of limits: one row per setting. It is the same for all who ask: leave it as it is.
---@return { field: string, key: string, prose: string, kind: integer, initial: number, least: number, most: number }[]
function M.settings_rows()
    if settings_rows then return settings_rows end
    local rows, index = {}, 0
    while true do
        local info = C.mg_setting(index)
        if info == nil then
            settings_rows = rows
            return rows
        end
        index = index + 1
        rows[index] = {
            field = ffi.string(info.field), key = ffi.string(info.key), prose = ffi.string(info.prose),
            kind = info.kind, initial = info.initial, least = info.least, most = info.most,
        }
    end
end

local scratch, scratch_bytes = ffi.new("char[4096]"), 4096

--- Percent-decoding; `plus`: "+" is a space.
---@param text string
---@param plus? boolean
---@return string
function M.decode(text, plus)
    local count = #text
    if count > scratch_bytes then
        scratch_bytes = count * 2
        scratch = ffi.new("char[?]", scratch_bytes)
    end
    return ffi.string(scratch, C.mg_percent_decode(text, count, plus and 1 or 0, scratch))
end

--- Text of a negated errno, in a few words.
local ERRORS = {
    [-2] = "no such file", [-7] = "too large", [-11] = "try again", [-12] = "out of memory", [-13] = "permission denied",
    [-17] = "exists already", [-20] = "not a folder", [-21] = "is a folder", [-22] = "not valid", [-24] = "too many open files",
    [-28] = "no space left", [-30] = "read-only file system", [-32] = "the client has gone", [-90] = "more than was announced",
    [-105] = "out of buffers", [-110] = "timed out", [-114] = "already answered",
}

--- Negative results become `nil, message, code` here and nowhere else.
---@param code integer negated errno
---@param what? string
function M.failed(code, what)
    local text = ERRORS[code] or ("error %d"):format(-code)
    return nil, what and what .. ": " .. text or text, code
end

return M
