--- Reading and writing descriptors through the engine.
local ffi = require "ffi"
local fcntl = require "posix.fcntl"
local unistd = require "posix.unistd"
local engine = require "t.net.engine"
local lib = engine.lib

local EBADF = -9

describe("a file", function()
    local e, path, fd
    before_each(function()
        e = engine.new()
        path = os.tmpname()
        fd = engine.keep(fcntl.open(path, fcntl.O_RDWR))
    end)
    after_each(function()
        engine.sweep()
        os.remove(path)
    end)

    it("is written at an offset and read back, with user and token", function()
        local text = ("0123456789"):rep(1000)
        assert.equal(0, lib.net_write(e.net, fd, text, #text, 5, 21, 0.5))
        local done = e:expect("done")
        assert.equal(#text, done.result)
        assert.equal(21, done.user)
        assert.equal(0.5, done.token)
        local buffer = ffi.new("char[20000]")
        assert.equal(0, lib.net_read(e.net, fd, buffer, 20000, 10, 22, 0))
        assert.equal(#text - 5, e:expect("done").result)
        assert.is_true(text:sub(6) == ffi.string(buffer, #text - 5))
        assert.equal(0, lib.net_read(e.net, fd, buffer, 20000, 20000, 23, 0))
        assert.equal(0, e:expect("done").result)
    end)

    it("gives the error of the kernel", function()
        local buffer = ffi.new("char[10]")
        local closed = unistd.dup(fd)
        unistd.close(closed)
        assert.equal(0, lib.net_read(e.net, closed, buffer, 10, 0, 1, 0))
        assert.equal(EBADF, e:expect("done").result)
    end)

    it("is one of 4096 operations at a time; each is told once", function()
        local from, to = unistd.pipe()
        engine.keep(from)
        engine.keep(to)
        local buffer = ffi.new("char[4097]")
        for i = 0, 4095 do assert.equal(0, lib.net_read(e.net, from, buffer + i, 1, 0, 7, i)) end
        assert.equal(-105, lib.net_read(e.net, from, buffer + 4096, 1, 0, 7, 4096))
        local sent, seen = 0, {}
        e.on = function(event)
            if event.kind ~= "done" then return end
            assert.is_nil(seen[event.token])
            assert.equal(1, event.result)
            seen[event.token], sent = true, sent + 1
        end
        local written = 0
        e:spin(function()
            written = written + (written < 4096 and unistd.write(to, ("p"):rep(math.min(512, 4096 - written))) or 0)
            return sent == 4096
        end)
        assert.equal(0, lib.net_write(e.net, to, "q", 1, 0, 8, 1))
        assert.equal(("p"):rep(4096) .. "\0", ffi.string(buffer, 4097))
    end)
end)
