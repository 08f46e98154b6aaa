--- Workers that begin together look for the same servers at the same time: each took a place of its own for one server, so that their connections
--- were counted apart and only one of them heard of the checks.
local ffi = require "ffi"
local process = require "t.support.process"
local c = require "t.support.c"
c.header("proxy/shared.h")
pcall(ffi.cdef, "void *mmap(void *, size_t, int, int, int, long); int munmap(void *, size_t); int sched_yield(void);")
local lib = c.lib()

local WORKERS, SERVERS, ROUNDS = 2, 8, 150

describe("workers that look for the same servers at once", function()
    local shared, gate
    local bytes = tonumber(lib.shared_bytes())

    before_each(function()
        shared = ffi.cast("struct proxy_shared *", ffi.C.mmap(nil, bytes, 3, 0x21, -1, 0)) -- read and write, shared and anonymous
        gate = ffi.cast("volatile uint8_t *", ffi.C.mmap(nil, 4096, 3, 0x21, -1, 0))
    end)
    after_each(function()
        ffi.C.munmap(shared, bytes)
        ffi.C.munmap(ffi.cast("void *", gate), 4096)
    end)

    --- One after the other in rounds: each waits at the gate until the others are there.
    local function look(worker)
        for round = 1, ROUNDS do
            gate[worker] = round
            local others = 1 - worker
            for _ = 1, 1e6 do
                if gate[others] >= round then break end
                ffi.C.sched_yield() -- also has the gate read anew
            end
            for name = 1, SERVERS / 2 do lib.shared_get(shared, round * 1000 + name, worker) end
        end
    end

    it("find one place for each", function()
        local children = {}
        for worker = 0, WORKERS - 1 do children[worker] = process.fork({}, function() look(worker) end) end
        for worker = 0, WORKERS - 1 do
            local how, code = children[worker]:wait(20)
            assert.same({ "exited", 0 }, { how, code })
        end
        local places = {}
        for at = 0, ROUNDS * SERVERS / 2 + 20 do
            local name = tonumber(shared.names[at])
            if name ~= 0 then
                assert.is_nil(places[name], ("server %d has two places"):format(name))
                places[name] = true
                assert.equal(WORKERS, shared.holders[at])
            end
        end
    end)

    it("go on when one of them died while it looked", function()
        shared.finder = 2
        lib.shared_forget(shared, 1)
        assert.is_true(lib.shared_get(shared, 7, 0) ~= nil)
    end)

    it("do without a place rather than wait for ever", function()
        shared.finder = 2
        assert.is_true(lib.shared_get(shared, 7, 0) == nil)
    end)
end)
