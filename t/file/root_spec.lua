--- What may be reached below a folder, and what not.
local lfs = require "lfs"
local unistd = require "posix.unistd"
local driver = require "t.file.driver"
local lib = driver.lib

local ENOENT, EACCES = -2, -13
local d, root

--- What a path shows: its content and the Content-Type; "directory"; or the error.
local function open(path, folder)
    local result = d:get(folder or root, path)
    if result.kind == "failed" then return result.error end
    if result.kind ~= "memory" then return result.kind end
    return result.body, result.lines:match("^Content%-Type: ([^\r]*)\r\n")
end

describe("a folder", function()
    setup(function()
        d = driver.new()
        d:mkdir("in", "in/sub", "in/.git", "in/.well-known", "in/sub/.well-known", "in/empty", "in/odd", "in/odd/index.html", "in-secret")
        for _, path in ipairs { "secret.txt", "in/a.txt", "in/index.html", "in/sub/index.html", "in/.git/config", "in/.hidden", "in/.well-known/token",
                                "in/sub/.well-known/x", "in/with space.css", "in/a..b", "in/sub/home.htm", "in-secret/x", "in/größe.txt", "in/text..txt" } do
            d:write(path, path)
        end
        d:link("a.txt", "in/inside")
        d:link("../secret.txt", "in/outside")
        d:link(d:path("in/a.txt"), "in/absolute")
        d:link("..", "in/up")
        d:link("../in-secret", "in/sibling")
        d:link("loop", "in/loop")
        d:link("sub", "in/current")
        require "posix.sys.stat".mkfifo(d:path("in/pipe"), 384)
        root = d:open("in")
    end)
    teardown(driver.sweep)

    it("shows the files below it, with their type", function()
        assert.same({ "in/a.txt", "text/plain; charset=utf-8" }, { open("a.txt") })
        assert.same({ "in/with space.css", "text/css; charset=utf-8" }, { open("with space.css") })
        for _, path in ipairs { "a..b", "sub/index.html", "größe.txt", "text..txt" } do assert.equal("in/" .. path, (open(path))) end
    end)

    it("shows the index of a folder that is written with its slash", function()
        assert.same({ "in/index.html", "text/html; charset=utf-8" }, { open("") })
        assert.equal("in/sub/index.html", (open("sub/")))
        assert.equal("directory", open("sub"))
        assert.equal(ENOENT, open("empty/"))
        assert.equal("directory", open("empty"))
        assert.equal(ENOENT, open("odd/"))
        assert.equal(ENOENT, open("a.txt/"))
    end)

    it("takes the first index that is there", function()
        local folder = d:open("in", "index none.html\nindex home.htm\nindex index.html\n")
        assert.equal("in/sub/home.htm", (open("sub/", folder)))
        assert.equal("in/index.html", (open("", folder)))
        assert.equal(ENOENT, open("empty/", folder))
    end)

    it("hides what begins with a dot, but for .well-known at the top, unless told otherwise", function()
        local hidden = d:open("in", "hidden\n")
        for _, path in ipairs { ".hidden", ".git/config", ".git/", ".git", "sub/.well-known/x", ".well-known2", "..." } do
            assert.equal(ENOENT, open(path))
        end
        assert.equal("in/.well-known/token", (open(".well-known/token")))
        assert.equal("in/.git/config", (open(".git/config", hidden)))
        assert.equal(EACCES, open(".git/../a.txt", hidden))
    end)

    it("lets nobody climb out", function()
        for _, path in ipairs { "..", "../secret.txt", "../in-secret/x", "sub/../../secret.txt", "sub/../a.txt", "./a.txt", "sub/.", "a.txt\0.html", "\0",
                                ".git/../a.txt", "up/secret.txt", "sibling/x", "outside", "absolute", "loop" } do
            assert.equal(EACCES, open(path), path)
        end
        assert.equal("in/a.txt", (open("inside")))
        assert.equal("in/sub/index.html", (open("current/")))
    end)

    it("follows links nowhere or anywhere when told so", function()
        local never, anywhere = d:open("in", "links never\n"), d:open("in", "links anywhere\n")
        for _, path in ipairs { "inside", "outside", "absolute", "current/" } do assert.equal(EACCES, open(path, never)) end
        assert.equal("in/a.txt", (open("a.txt", never)))
        assert.equal("secret.txt", (open("outside", anywhere)))
        assert.equal("in/a.txt", (open("absolute", anywhere)))
        assert.equal("secret.txt", (open("up/secret.txt", anywhere)))
        assert.equal("in-secret/x", (open("sibling/x", anywhere)))
        assert.equal(EACCES, open("../secret.txt", anywhere))
        assert.equal(EACCES, open("loop", anywhere))
    end)

    it("finds nothing behind empty segments, absolute paths and long names", function()
        for _, path in ipairs { "/", "/etc/passwd", "sub//index.html", "//", "a.txt//", "none", "a.txt/more", ("n"):rep(256) } do
            assert.equal(ENOENT, open(path))
        end
        for _, path in ipairs { ("n"):rep(5000), ("n/"):rep(2040) } do assert.is_true(open(path) == ENOENT or open(path) == -36) end
    end)

    it("shows regular files alone, and does not wait for a pipe", function()
        assert.equal(EACCES, open("pipe"))
    end)

    it("tells what may not be read from what is not there", function()
        if unistd.geteuid() == 0 then return pending("root may read all") end
        d:write("in/closed.txt", "x")
        os.execute("chmod 0 '" .. d:path("in/closed.txt") .. "'")
        assert.equal(EACCES, open("closed.txt"))
    end)

    it("need not be there yet, and may go and come back", function()
        local late = d:open("late")
        assert.equal(ENOENT, open("a", late))
        d:mkdir("late")
        d:write("late/a", "now")
        assert.equal("now", (open("a", late)))
        os.execute("rm -r '" .. d:path("late") .. "'")
        d:turn(0)
        assert.equal(ENOENT, open("a", late))
    end)

    it("may be closed; its handle is then nobody's, also when its place is taken", function()
        local first = d:open("in")
        assert.equal("in/a.txt", (open("a.txt", first)))
        lib.file_folder_close(d.cache, first)
        assert.equal(ENOENT, open("a.txt", first))
        local second = d:open("in/sub")
        assert.not_equal(first, second)
        assert.equal(ENOENT, open("a.txt", first))
        assert.equal("in/sub/index.html", (open("index.html", second)))
    end)

    it("is refused with options that are none", function()
        for _, lines in ipairs { "nonsense\n", "links sideways\n", "index a/b\n", "cache no-tab\n", ("index a\n"):rep(5) } do
            assert.equal(-22, d:open("in", lines))
        end
    end)

    it("leaves no descriptor behind but those of what it keeps open", function()
        local function descriptors()
            local count = 0
            for _ in lfs.dir("/proc/self/fd") do count = count + 1 end
            return count
        end
        open("a.txt")
        local before = descriptors()
        for at = 1, 50 do
            for _, path in ipairs { "a.txt", "sub", "pipe", "none" .. at, "outside", "", "current/", "up/x" .. at } do open(path) end
        end
        assert.equal(before, descriptors())
    end)
end)
