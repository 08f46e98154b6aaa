--- `moongate serve DIR` as its users use it: real clients, files that are large, empty or growing, every type, and machines with few watches.
local process = require "t.support.process"
local server = require "t.support.server"
local wire = require "t.support.wire"

local TYPES = {
    html = "text/html; charset=utf-8", css = "text/css; charset=utf-8", js = "text/javascript; charset=utf-8", jpg = "image/jpeg", jpeg = "image/jpeg",
    png = "image/png", gif = "image/gif", swf = "application/x-shockwave-flash", txt = "text/plain; charset=utf-8",
}
local LARGE = {}
for at = 1, 1000000 do LARGE[at] = ("%09d\n"):format(at) end
LARGE = table.concat(LARGE) -- 10 MB

local function folder()
    local path = process.folder()
    assert(require "lfs".mkdir(path .. "/www"))
    for _, name in ipairs { "dir", "dir/deep", "bare" } do require "lfs".mkdir(path .. "/www/" .. name) end
    local files = { ["index.html"] = "home", ["dir/index.html"] = "deep home", ["dir/deep/page.html"] = "page", ["with space.txt"] = "space",
                    ["text..txt"] = "dots", ["empty.txt"] = "", ["large.txt"] = LARGE }
    for extension in pairs(TYPES) do files["file." .. extension] = "a " .. extension end
    for name, text in pairs(files) do process.write_file(path .. "/www/" .. name, text) end
    process.write_file(path .. "/outside.txt", "outside")
    os.execute(("find %s -type f -exec touch -d 2020-01-01 {} +"):format(path))
    return path
end

describe("moongate serve", function()
    local s, path
    setup(function()
        path = folder()
        s = server.start { command = { "serve", path .. "/www", "-d", "-w", "2", "-i", "127.0.0.1", "-p", "0" }, workers = false, listen = {} }
    end)
    teardown(function()
        s:stop()
        server.sweep()
        process.remove_folder(path)
    end)

    local function run(...)
        local code, out = process.run({ ... }, 20)
        return code, out
    end
    local function url(target) return ("http://127.0.0.1:%d%s"):format(s.port, target) end

    it("follows the rules of a static server", function()
        for extension, kind in pairs(TYPES) do
            local response = s:get("/file." .. extension)
            assert.same({ 200, "a " .. extension, kind, tostring(#extension + 2) },
                { response.status, response.body, response:get("content-type"), response:get("content-length") })
            assert.equal("moongate", response:get("server"))
            assert.is_truthy(response:get("date"))
        end
        for target, expected in pairs {
            ["/"] = { 200, "home" }, ["/dir/"] = { 200, "deep home" }, ["/dir/deep/page.html?a=b&c"] = { 200, "page" }, ["/with%20space.txt"] = { 200, "space" },
            ["/text..txt"] = { 200, "dots" }, ["/%64ir/%64eep/page%2Ehtml"] = { 200, "page" }, ["/empty.txt"] = { 200, "" },
        } do
            local response = s:get(target)
            assert.same(expected, { response.status, response.body }, target)
        end
        for target, status in pairs { ["/none"] = 404, ["/file.html/"] = 404, ["/bare/"] = 404, ["/dir"] = 301, ["/../outside.txt"] = 400 } do
            assert.equal(status, s:get(target).status, target)
        end
        local c = s:connect()
        assert.equal("10000000", c:head("/large.txt"):get("content-length"))
        assert.equal(404, c:head("/none").status)
        for _, method in ipairs { "DELETE", "POST", "PUT" } do
            local response = c:request(method, "/file.html")
            assert.same({ 405, "GET, HEAD, OPTIONS" }, { response.status, response:get("allow") })
        end
    end)

    it("serves curl: whole, in part, taken up again, conditionally, packed", function()
        local code, out = run("curl", "-sS", "--fail", url("/large.txt"))
        assert.equal(0, code)
        assert.is_true(out == LARGE)
        assert.equal(LARGE:sub(101, 200), (select(2, run("curl", "-sS", "-r", "100-199", url("/large.txt")))))
        process.write_file(path .. "/part", LARGE:sub(1, 1234567))
        assert.equal(0, (run("curl", "-sS", "-C", "-", "-o", path .. "/part", url("/large.txt"))))
        assert.is_true(process.read_file(path .. "/part") == LARGE)
        local etag = path .. "/etag"
        run("curl", "-sS", "--etag-save", etag, "-o", path .. "/one", url("/file.css"))
        assert.equal("304", (select(2, run("curl", "-sS", "--etag-compare", etag, "-o", path .. "/two", "-w", "%{http_code}", url("/file.css")))))
        assert.equal("304", (select(2, run("curl", "-sS", "-z", path .. "/www/file.css", "-o", path .. "/two", "-w", "%{http_code}", url("/file.css")))))
        process.write_file(path .. "/www/packed.css", LARGE:sub(1, 100000))
        code, out = run("curl", "-sS", "--compressed", url("/packed.css"))
        assert.equal(0, code)
        assert.is_true(out == LARGE:sub(1, 100000))
        assert.equal("gzip", (select(2, run("curl", "-sS", "-o", "/dev/null", "-H", "Accept-Encoding: gzip", "-w", "%header{content-encoding}", url("/packed.css")))))
    end)

    it("serves wget: by time stamps, and taken up again", function()
        local target = path .. "/wget"
        require "lfs".mkdir(target)
        assert.equal(0, (run("wget", "-q", "-N", "-P", target, url("/large.txt"))))
        assert.is_true(process.read_file(target .. "/large.txt") == LARGE)
        assert.equal(0, (run("wget", "-q", "-N", "-P", target, url("/large.txt"))))
        process.write_file(target .. "/large.txt", LARGE:sub(1, 5000000))
        assert.equal(0, (run("wget", "-q", "-c", "-P", target, url("/large.txt"))))
        assert.is_true(process.read_file(target .. "/large.txt") == LARGE)
    end)

    it("serves a file that grows as it is at each moment", function()
        local f = assert(io.open(path .. "/www/grows.log", "a"))
        local text = ""
        for at = 1, 20 do
            f:write("line ", at, "\n")
            f:flush()
            text = text .. "line " .. at .. "\n"
            local seen = s:get("/grows.log").body
            assert.equal(text:sub(1, #seen), seen)
        end
        f:close()
        assert.equal(text, s:get("/grows.log").body)
    end)

    it("keeps flat in memory, and quick for others, while many take a large file slowly", function()
        local function memory()
            local sum = 0
            for _, pid in ipairs(s:workers()) do sum = sum + process.read_file(("/proc/%d/statm"):format(pid)):match("^%d+ (%d+)") * 4096 end
            return sum
        end
        s:get("/large.txt")
        local before, slow = memory(), {}
        for at = 1, 50 do
            slow[at] = s:connect()
            slow[at]:send("GET /large.txt HTTP/1.1\r\nHost: a\r\n\r\n")
            slow[at]:read_head()
        end
        local from = process.now()
        for _ = 1, 100 do assert.equal("home", s:get("/").body) end
        assert.is_true(process.now() - from < (server.sanitized and 10 or 2))
        assert.is_true(memory() - before < (server.sanitized and 80 or 20) * 1048576, "grew by " .. (memory() - before))
        for at = 1, 50, 10 do assert.is_true(slow[at]:read_bytes(#LARGE) == LARGE) end
        for at = 1, 50 do slow[at]:close() end
    end)
end)

describe("a client that takes nothing of a file in memory", function()
    after_each(server.sweep)

    it("is reset when the time for that is over; one that takes it slowly is not", function()
        local s = server.start { files = { ["public/a.bin"] = LARGE:sub(1, 4000000) }, script = [[
            local app = require "moongate".app()
            app:files("/*", "public")
            return { app = app, limits = { write_stall = "600ms" } }]] }
        local function ask()
            local c = wire.connect(s.host, s.port, { seconds = 10 })
            c.socket:setoption("recv-buffer-size", 4096)
            for _ = 1, 3 do c:send("GET /a.bin HTTP/1.1\r\nHost: a\r\n\r\n") end
            c:read_head()
            return c
        end
        local idle, slow = ask(), ask()
        local from = process.now()
        local ok
        repeat
            ok = pcall(idle.send, idle, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert.equal(5000, #slow:read_bytes(5000))
            require "socket".sleep(0.02)
        until not ok or process.now() - from > 8
        assert.is_true(not ok and process.now() - from > 0.4)
        assert.equal(5000, #slow:read_bytes(5000))
        slow:close()
        s:stop()
    end)
end)

describe("a folder of fifty thousand names", function()
    after_each(server.sweep)

    it("is listed while others are answered", function()
        local s = server.start { files = { ["public/small.txt"] = "small" }, script = [[
            local app = require "moongate".app()
            app:files("/*", "public", { list = true })
            return app]] }
        os.execute(("touch -d 2020-01-01 '%s/public/small.txt'; mkdir '%s/public/many' && cd '%s/public/many' && seq -f name%%06g 1 50000 | xargs -n 20000 touch")
            :format(s.folder, s.folder, s.folder))
        local c, neighbour, meanwhile = s:connect(), s:connect(), 0
        assert.equal("small", neighbour:get("/small.txt").body)
        c:send("GET /many/?sort=T HTTP/1.1\r\nHost: a\r\n\r\n")
        while #require "socket".select({ c.socket }, nil, 0) == 0 do
            assert.equal("small", neighbour:get("/small.txt").body)
            meanwhile = meanwhile + 1
        end
        local page = c:read().body
        assert.is_truthy(page:find("50000 entries", 1, true))
        assert.is_true(meanwhile >= 20, meanwhile .. " answers meanwhile")
        s:stop()
    end)
end)

describe("few watches", function()
    after_each(server.sweep)

    it("are told once with the way to more, and changes are seen nevertheless", function()
        local binary = process.folder() .. "/moongate"
        process.write_file(binary, ('#!/bin/sh\nexec unshare -U -r sh -c \'echo 3 > /proc/sys/user/max_inotify_watches && exec "$0" "$@"\' "%s" "$@"\n')
            :format(server.binary))
        os.execute("chmod 755 " .. binary)
        if process.run({ binary, "version" }, 10) ~= 0 then return pending("this machine does not let users have namespaces") end
        local own = server.binary
        server.binary = binary
        local ok, s = pcall(server.start, { files = { ["public/a.txt"] = "old" }, script = [[
            local app = require "moongate".app()
            app:files("/*", "public")
            return app]] })
        server.binary = own
        assert.is_true(ok, s)
        local file = s.folder .. "/public/a.txt"
        assert.equal("old", s:get("/a.txt").body)
        s:wait_log("files: changes below [^\n]* are not told by the system %(no more watches%)[^\n]*sysctl %-w fs.inotify.max_user_watches=524288")
        process.write_file(file .. ".new", "new")
        os.rename(file .. ".new", file)
        local limit = process.now() + 3
        repeat
            local body = s:get("/a.txt").body
            require "socket".sleep(0.05)
        until body == "new" or process.now() > limit
        assert.equal("new", s:get("/a.txt").body)
        assert.equal(1, select(2, s:log():gsub("no more watches", "")))
        s:stop()
    end)
end)
