--- Content into a file, piece by piece, without blocking the worker. In: a path and an iterator of pieces; out:
--- the bytes written. The file appears under its name when it is whole: until then, and after a failure or a
--- cancellation, there is at most a file beside it that is removed.
local ffi = require "ffi"
local abi = require "moongate.abi"
local await = require "moongate.await"
local waits = require "moongate.waits"

local M = {}

local C = abi.C
local MODE_CREATE = 1
local NO_SPACE, IO_ERROR, TIMED_OUT = -28, -5, -110

local random = ffi.new("char[8]")

--- A name beside the file that nobody else uses.
local function unfinished_name(path)
    C.mg_random(random, 8)
    return path .. "." .. ffi.string(random, 8):gsub(".", function(c) return ("%02x"):format(c:byte()) end) .. ".part"
end

local function discard(job)
    C.mg_file_close(job.fd)
    os.remove(job.unfinished)
end

--- A task of its own: the kernel reads `piece` while it waits, so it must live on when whoever asked for this
--- is cancelled.
local function write_piece(job, piece)
    local from = 1
    while from <= #piece do
        local left = from == 1 and piece or piece:sub(from)
        local written = C.mg_file_write(abi.worker, job.fd, left, #left, job.offset, await.token())
        if written == 0 then written = await.wait("disk") end
        if written <= 0 then
            job.failure = written == 0 and NO_SPACE or written
            return
        end
        from, job.offset = from + written, job.offset + written
    end
end

local function piece_ended(task)
    local job = task.a
    job.busy = false
    if not task.ok then job.failure = IO_ERROR end
    if job.abandoned then discard(job) else await.wake(job.token, true) end
end

--- Writes one piece and waits for it. A failure is left in the job; false: it takes too long, and the file is given up.
local function put(job, piece)
    job.token, job.busy = await.token(), true
    local writer = await.spawn(write_piece, job, piece)
    writer.on_end, writer.steady = piece_ended, true
    local _, why = await.wait_raw("save", waits.task_ms)
    if why and job.busy then job.abandoned = true elseif why then discard(job) end
    if why == "cancelled" then error(await.CANCELLED, 0) end
    return why == nil
end

local function finish(job, path)
    local rc = C.mg_file_close(job.fd)
    if rc < 0 then
        os.remove(job.unfinished)
        return abi.failed(rc, path)
    end
    local ok, message, errno = os.rename(job.unfinished, path)
    if not ok then
        os.remove(job.unfinished)
        return nil, message, -errno
    end
    return job.offset
end

--- Writes what the iterator gives. An existing file is replaced when all is there.
---@param path string
---@param next_piece fun(): string?, string?, integer?
---@return integer? bytes
---@return string? message the iterator's, or what the system says
---@return integer? code the iterator's status, or a negated errno
function M.write(path, next_piece)
    local unfinished = unfinished_name(path)
    local fd = C.mg_file_open(unfinished, MODE_CREATE)
    if fd < 0 then return abi.failed(fd, path) end
    local job = { fd = fd, unfinished = unfinished, offset = 0, token = 0, busy = false, abandoned = false, failure = nil }
    while true do
        local ok, piece, message, status = pcall(next_piece)
        if not ok then
            discard(job)
            error(piece, 0)
        end
        if piece == nil then
            if not status then return finish(job, path) end
            discard(job)
            return nil, message, status
        end
        if not put(job, piece) then return abi.failed(TIMED_OUT, path) end
        if job.failure then
            discard(job)
            return abi.failed(job.failure, path)
        end
    end
end

return M
