local ffi = require "ffi"
local lfs = require "lfs"
local unistd = require "posix.unistd"
local c = require "t.support.c"
c.header("net/net.h", "file/root.h")
local lib = c.lib()

local ENOENT, EACCES, EISDIR = -2, -13, -21
local folder, root

local function write(path, text)
    local f = assert(io.open(folder .. "/" .. path, "w"))
    f:write(text or path)
    f:close()
end

--- Content and type of what a path opens; or nil and the error.
local function open(path)
    local entry = ffi.new("struct file_entry")
    local error = lib.file_open(root, path, #path, entry)
    if error ~= 0 then return nil, error end
    local text = unistd.read(entry.fd, 65536)
    local unchanged = lib.file_is_unchanged(entry)
    unistd.close(entry.fd)
    assert(tonumber(entry.size) == #text and unchanged == 1)
    return text, ffi.string(entry.type.at, entry.type.bytes)
end

describe("a root", function()
    setup(function()
        folder = os.tmpname()
        os.remove(folder)
        for _, name in ipairs { "", "/in", "/in/sub", "/in/.git", "/in/.well-known", "/in/sub/.well-known", "/in/empty", "/in/odd", "/in/odd/index.html" } do
            assert(lfs.mkdir(folder .. name))
        end
        for _, path in ipairs { "secret.txt", "in/a.txt", "in/index.html", "in/sub/index.html", "in/.git/config", "in/.hidden",
                                "in/.well-known/token", "in/sub/.well-known/x", "in/with space.css", "in/a..b" } do
            write(path)
        end
        unistd.link("a.txt", folder .. "/in/inside", true)
        unistd.link("../secret.txt", folder .. "/in/outside", true)
        unistd.link(folder .. "/in/a.txt", folder .. "/in/absolute", true)
        unistd.link("..", folder .. "/in/up", true)
        unistd.link("loop", folder .. "/in/loop", true)
        unistd.link("sub", folder .. "/in/current", true)
        require "posix.sys.stat".mkfifo(folder .. "/in/pipe", 384)
        root = lib.file_root_open(folder .. "/in")
        assert(root >= 0)
    end)

    teardown(function()
        unistd.close(root)
        os.execute("rm -rf '" .. folder .. "'")
    end)

    it("opens files below it, with their type", function()
        assert.same({ "in/a.txt", "text/plain; charset=utf-8" }, { open("a.txt") })
        assert.equal("in/with space.css", (open("with space.css")))
        assert.equal("in/a..b", (open("a..b")))
        assert.equal("in/sub/index.html", (open("sub/index.html")))
    end)

    it("opens the index of a folder that is written with its slash", function()
        assert.same({ "in/index.html", "text/html; charset=utf-8" }, { open("") })
        assert.equal("in/sub/index.html", (open("sub/")))
        assert.same({ nil, EISDIR }, { open("sub") })
        assert.same({ nil, ENOENT }, { open("empty/") })
        assert.same({ nil, EISDIR }, { open("empty") })
        assert.same({ nil, ENOENT }, { open("odd/") })
        assert.same({ nil, ENOENT }, { open("a.txt/") })
    end)

    it("hides what begins with a dot, but for .well-known at the top", function()
        for _, path in ipairs { ".hidden", ".git/config", ".git/", ".git", "sub/.well-known/x", ".well-known2", "..." } do
            assert.same({ nil, ENOENT }, { open(path) })
        end
        assert.equal("in/.well-known/token", (open(".well-known/token")))
    end)

    it("lets nobody climb out", function()
        for _, path in ipairs { "..", "../secret.txt", "sub/../../secret.txt", "sub/../a.txt", "./a.txt", "sub/.", "a.txt\0.html", "\0",
                                ".git/../a.txt", "up/secret.txt", "outside", "absolute", "loop" } do
            assert.same({ nil, EACCES }, { open(path) })
        end
        assert.equal("in/a.txt", (open("inside")))
        assert.equal("in/sub/index.html", (open("current/")))
    end)

    it("finds nothing behind empty segments, absolute paths and long names", function()
        for _, path in ipairs { "/", "/etc/passwd", "sub//index.html", "//", "a.txt//", "none", "a.txt/more", ("n"):rep(256), ("n"):rep(5000),
                                ("n/"):rep(2040) } do
            assert.same({ nil, ENOENT }, { open(path) })
        end
    end)

    it("serves regular files alone, and does not wait for a pipe", function()
        assert.same({ nil, EACCES }, { open("pipe") })
    end)

    it("leaves no descriptor behind", function()
        local function descriptors()
            local count = 0
            for _ in lfs.dir("/proc/self/fd") do count = count + 1 end
            return count
        end
        local before = descriptors()
        for _, path in ipairs { "a.txt", "sub", "pipe", "none", "outside", "" } do open(path) end
        assert.equal(before, descriptors())
    end)

    it("sees that a file was changed or replaced after it was opened", function()
        local entry = ffi.new("struct file_entry")
        write("in/live", "one")
        assert.equal(0, lib.file_open(root, "live", 4, entry))
        assert.equal(1, lib.file_is_unchanged(entry))
        write("in/live", "longer")
        assert.equal(0, lib.file_is_unchanged(entry))
        unistd.close(entry.fd)
    end)

    it("is a folder, and says so otherwise", function()
        assert.equal(ENOENT, lib.file_root_open(folder .. "/none"))
        assert.equal(-20, lib.file_root_open(folder .. "/secret.txt"))
    end)
end)
