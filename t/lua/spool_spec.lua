local ffi = require "ffi"
local lfs = require "lfs"
local worker = require("t.support.fake_worker").install()
local spool = require "moongate.spool"
local mg = require "moongate.tasks"

-- Files as the border offers them: each write ends a virtual millisecond later.
local C, open, writes = worker.C, {}, {}
local take, fault, next_fd = nil, nil, 100
function C.mg_random(ret, bytes) ffi.copy(ret, ("\1\171"):rep(bytes / 2), bytes) end
function C.mg_file_open(path)
    local f, _, errno = io.open(path, "wb")
    if not f then return -errno end
    next_fd = next_fd + 1
    open[next_fd] = f
    return next_fd
end
function C.mg_file_close(fd)
    open[fd]:close()
    open[fd] = nil
    return 0
end
function C.mg_file_write(_, fd, bytes, count, offset, token)
    local taken = math.min(count, take or count)
    if fault then taken = fault end
    worker.timers[#worker.timers + 1] = { at = worker.now + 1, token = token, handle = 0, result = taken }
    assert(open[fd], "written after it was closed")
    writes[#writes + 1] = { bytes = bytes, offset = offset }
    if taken > 0 then
        open[fd]:seek("set", offset)
        open[fd]:write(bytes:sub(1, taken))
    end
    return 0
end
local advance = C.mg_next
function C.mg_next(...)
    local results = {}
    for _, timer in ipairs(worker.timers) do results[timer.token] = timer.result end
    local rc = advance(...)
    local border = package.loaded["moongate.abi"].border
    border.result = results[border.token] or 0
    return rc
end

local function list(...)
    local items, i = { ... }, 0
    return function()
        i = i + 1
        return items[i]
    end
end

describe("spool", function()
    local folder, path
    before_each(function()
        folder = os.tmpname()
        os.remove(folder)
        lfs.mkdir(folder)
        path, take, fault, writes = folder .. "/file", nil, nil, {}
    end)
    after_each(function()
        assert.is_nil((next(open)))
        os.remove(path)
        assert.is_true(lfs.rmdir(folder)) -- empty: nothing unfinished is left
    end)

    local function content()
        local f = io.open(path, "rb")
        if not f then return nil end
        local text = f:read("*a")
        f:close()
        return text
    end

    it("writes pieces one after the other and says how many bytes", function()
        assert.equal(11, worker.run(spool.write, path, list("hello", " ", "world")))
        assert.equal("hello world", content())
        assert.equal(0, worker.run(spool.write, path, list()))
        assert.equal("", content())
    end)

    it("goes on after short writes", function()
        take = 3
        assert.equal(10, worker.run(spool.write, path, list("01234567", "89")))
        assert.equal("0123456789", content())
        assert.equal(4, #writes)
    end)

    it("replaces a file only when all is there", function()
        worker.run(spool.write, path, list("old"))
        worker.run(function()
            local task = mg.spawn(spool.write, path, list("new", "er"))
            mg.sleep(0.0015)
            assert.equal("old", content())
            assert.equal(5, task:join())
        end)
        assert.equal("newer", content())
    end)

    it("passes a failure of the source on and leaves no file", function()
        local pieces = list("some")
        local result = { n = 3, worker.run(spool.write, path, function()
            local piece = pieces()
            if piece then return piece end
            return nil, "too long", 413
        end) }
        assert.same({ n = 3, nil, "too long", 413 }, result)
        assert.is_nil(content())
    end)

    it("says what the system says and leaves no file", function()
        fault = -28
        assert.same({ n = 3, nil, path .. ": error 28", -28 }, { n = 3, worker.run(spool.write, path, list("some")) })
        fault = 0
        assert.equal(-28, (select(3, worker.run(spool.write, path, list("some")))))
        assert.equal(-2, (select(3, worker.run(spool.write, folder .. "/none/file", list("some")))))
    end)

    it("cleans up when the source raises", function()
        local ok, failure = pcall(worker.run, spool.write, path, function() error("boom", 0) end)
        assert.is_false(ok)
        assert.equal("boom", failure)
        assert.is_nil(content())
    end)

    it("cleans up when it is cancelled: during a write only after the kernel has done with the bytes", function()
        worker.run(function()
            local task = mg.spawn(spool.write, path, list("some", "more"))
            mg.sleep(0.0005)
            task:cancel()
            assert.equal("cancelled", (select(2, task:join())))
            assert.is_not_nil((next(open)))
            mg.sleep(1)
            assert.is_nil((next(open)))
        end)
        assert.is_nil(content())
        worker.run(function()
            local task = mg.spawn(spool.write, path, function() mg.sleep(60) end)
            mg.sleep(0.001)
            task:cancel()
            task:join()
        end)
        assert.is_nil(content())
    end)
end)
