--- The cache: what it keeps, how it learns of changes, and that what it shows was whole.
local ffi = require "ffi"
local lfs = require "lfs"
local unistd = require "posix.unistd"
local driver = require "t.file.driver"
local decode = require "t.support.decode"
local lib = driver.lib

local ENOENT = -2

after_each(driver.sweep)

local function text_of(bytes)
    local parts = {}
    for at = 1, math.ceil(bytes / 8) do parts[at] = ("%07x\n"):format(at) end
    return table.concat(parts):sub(1, bytes)
end

describe("an entry", function()
    it("is loaded once and then kept", function()
        local d = driver.new()
        local root = d:open("")
        d:write("a.txt", "text of a")
        assert.equal(1, d:loads(function()
            for _ = 1, 10 do assert.equal("text of a", d:get(root, "a.txt").body) end
        end))
        assert.equal(1, d:loads(function()
            for _ = 1, 10 do assert.equal(ENOENT, d:get(root, "none").error) end
        end))
    end)

    it("is loaded once for all who ask meanwhile", function()
        local d = driver.new()
        local root = d:open("")
        d:write("a.txt", "text")
        local waits = {}
        local loads = d:loads(function()
            for at = 1, 5 do
                waits[at] = ffi.new("struct file_wait", { owner = at })
                assert.equal(0, (d:ask(root, "a.txt", waits[at])))
            end
            lib.file_cache_leave(d.cache, waits[2]) -- has no more patience
            local owners = {}
            d:run(function()
                local done = lib.file_cache_next(d.cache)
                while done ~= nil do
                    owners[#owners + 1] = done.owner
                    done = lib.file_cache_next(d.cache)
                end
                return #owners == 4
            end)
            assert.same({ 1, 3, 4, 5 }, owners)
        end)
        assert.equal(1, loads)
        for at = 1, 5 do lib.file_cache_leave(d.cache, waits[at]) end
    end)

    it("has the lines of its head ready", function()
        local d = driver.new()
        local root = d:open("", "cache *.css\tmax-age=60\ncache a/*\tno-store\ncache *\tno-cache\ndownload *.zip\n")
        d:mkdir("a")
        for _, name in ipairs { "x.css", "a/x.txt", "page.html", "größe 1.zip", "plain.zip" } do d:write(name, "12345") end
        local css = d:get(root, "x.css")
        assert.equal("Content-Type: text/css; charset=utf-8\r\nContent-Length: 5\r\nETag: " .. css.etag ..
            "\r\nLast-Modified: Sun, 13 Sep 2020 12:26:40 GMT\r\nAccept-Ranges: bytes\r\nVary: Accept-Encoding\r\nCache-Control: max-age=60\r\n", css.lines)
        assert.is_truthy(d:get(root, "a/x.txt").lines:find("Cache-Control: no-store\r\n", 1, true))
        assert.is_truthy(d:get(root, "page.html").lines:find("Cache-Control: no-cache\r\n", 1, true))
        local zip = d:get(root, "größe 1.zip").lines
        assert.is_truthy(zip:find("Content-Disposition: attachment; filename=\"gr____e 1.zip\"; filename*=UTF-8''gr%C3%B6%C3%9Fe%201.zip\r\n", 1, true))
        assert.is_nil(zip:find("Vary", 1, true))
        assert.is_truthy(d:get(root, "plain.zip").lines:find('Content-Disposition: attachment; filename="plain.zip"\r\n', 1, true))
    end)

    it("has a strong tag that is that of its content, whatever its name and time", function()
        local d = driver.new()
        local root = d:open("")
        d:write("a", "same")
        d:write("b", "same", 1500000000)
        d:write("c", "else")
        d:write("large", text_of(200000))
        assert.equal(d:get(root, "a").etag, d:get(root, "b").etag)
        assert.not_equal(d:get(root, "a").etag, d:get(root, "c").etag)
        for _, name in ipairs { "a", "large" } do assert.is_truthy(d:get(root, name).etag:match('^"[%x-]+"$')) end
    end)

    it("was not changed later than now, and says nothing of times before 1970", function()
        local d = driver.new()
        local root = d:open("")
        d:write("future", "x", os.time() + 100000)
        d:write("past", "x", -1000)
        assert.is_true(d:get(root, "future").modified <= os.time())
        assert.equal(-1, d:get(root, "past").modified)
        assert.is_nil(d:get(root, "past").lines:find("Last-Modified", 1, true))
    end)

    for _, case in ipairs { { 0, "memory" }, { 1, "memory" }, { 99999, "memory" }, { 100000, "memory" }, { 100001, "opened" }, { 300000, "opened" } } do
        it(("of %d bytes is %s when the largest in memory is 100000"):format(unpack(case)), function()
            local d = driver.new()
            d:write("f", text_of(case[1]))
            local found = d:get(d:open(""), "f")
            assert.equal(case[2], found.kind)
            assert.is_true(found.body == text_of(case[1]))
        end)
    end
end)

describe("a change", function()
    local d, root
    before_each(function()
        d = driver.new()
        d:mkdir("sub", "releases", "releases/1", "releases/2")
        for _, name in ipairs { "f", "sub/f", "releases/1/f", "releases/2/f" } do d:write(name, "old " .. name) end
        d:link("releases/1", "current")
        d:link("current/f", "link")
        root = d:open("")
        for _, name in ipairs { "f", "sub/f", "current/f", "link" } do d:get(root, name) end
    end)

    local function shows(name, expected)
        local found = d:get(root, name)
        assert.equal(expected, found.body or found.error, name)
    end

    --- What is done, to what, and what is to be seen then.
    for what, case in pairs {
        ["written in place"] = { function() d:write("f", "new", false) end, "f", "new" },
        ["truncated"] = { function() d:write("f", "", false) end, "f", "" },
        ["replaced by rename"] = { function() d:replace("f", "new") end, "f", "new" },
        ["replaced by one of the same size and time"] = { function() d:replace("f", "OLD f") end, "f", "OLD f" },
        ["removed"] = { function() os.remove(d:path("f")) end, "f", ENOENT },
        ["removed and made again"] = { function() os.remove(d:path("f")) d:write("f", "again") end, "f", "again" },
        ["moved away"] = { function() os.rename(d:path("f"), d:path("g")) end, "f", ENOENT },
        ["another link to it changed"] = { function() unistd.link(d:path("releases/2/f"), d:path("hard")) os.rename(d:path("hard"), d:path("f")) end, "f",
            "old releases/2/f" },
        ["made a folder"] = { function() os.remove(d:path("f")) d:mkdir("f") end, "f", 0 },
        ["made unreadable by a pipe in its place"] = { function() os.remove(d:path("f")) require "posix.sys.stat".mkfifo(d:path("f"), 384) end, "f", -13 },
        ["a folder on the way renamed"] = { function() os.rename(d:path("sub"), d:path("bus")) end, "sub/f", ENOENT },
        ["a folder on the way replaced"] = { function()
            os.rename(d:path("sub"), d:path("bus"))
            os.rename(d:path("releases/2"), d:path("sub"))
        end, "sub/f", "old releases/2/f" },
        ["a folder on the way made a link"] = { function()
            os.rename(d:path("sub"), d:path("bus"))
            d:link("releases/2", "sub")
        end, "sub/f", "old releases/2/f" },
        ["a link flipped by rename"] = { function()
            d:link("releases/2", "next")
            os.rename(d:path("next"), d:path("current"))
        end, "current/f", "old releases/2/f" },
        ["a link behind a link flipped"] = { function()
            d:link("releases/2", "next")
            os.rename(d:path("next"), d:path("current"))
        end, "link", "old releases/2/f" },
        ["the file behind links changed"] = { function() d:replace("releases/1/f", "new") end, "link", "new" },
        ["a folder behind a link moved"] = { function() os.rename(d:path("releases/1"), d:path("releases/0")) end, "current/f", ENOENT },
        ["its time set"] = { function() lfs.touch(d:path("f"), 1700000000) end, "f", "old f" },
    } do
        it("is seen: " .. what, function()
            case[1]()
            d:turn(0)
            shows(case[2], case[3])
        end)
    end

    it("is seen: what was not there appears, also below folders that were not", function()
        shows("new/deep/file", ENOENT)
        d:mkdir("new", "new/deep")
        d:turn(0)
        shows("new/deep/file", ENOENT)
        d:write("new/deep/file", "here")
        d:turn(0)
        shows("new/deep/file", "here")
    end)

    it("is seen: Kubernetes swaps ..data", function()
        d:mkdir("volume", "volume/..1", "volume/..2")
        d:write("volume/..1/key", "one")
        d:write("volume/..2/key", "two")
        d:link("..1", "volume/..data")
        d:link("..data/key", "volume/key")
        local volume = d:open("volume")
        assert.equal("one", d:get(volume, "key").body)
        d:link("..2", "volume/..data_tmp")
        os.rename(d:path("volume/..data_tmp"), d:path("volume/..data"))
        os.execute(("rm -r '%s'"):format(d:path("volume/..1")))
        d:turn(0)
        assert.equal("two", d:get(volume, "key").body)
    end)

    it("is seen: the folder itself is replaced, or is a link that flips", function()
        local one, link = d:open("releases/1"), d:open("current")
        assert.equal("old releases/1/f", d:get(one, "f").body)
        assert.equal("old releases/1/f", d:get(link, "f").body)
        d:link("releases/2", "next")
        os.rename(d:path("next"), d:path("current"))
        d:turn(0)
        assert.equal("old releases/2/f", d:get(link, "f").body)
        os.rename(d:path("releases/1"), d:path("releases/0"))
        d:turn(0)
        assert.equal(ENOENT, d:get(one, "f").error)
    end)

    it("in progress shows the content as it was, until its writer is done or has been too slow", function()
        local f = assert(io.open(d:path("f"), "w"))
        f:write("half")
        f:flush()
        d:turn(0)
        shows("f", "old f")
        f:write(" and half")
        f:close()
        d:turn(0)
        shows("f", "half and half")
        f = assert(io.open(d:path("f"), "a"))
        f:write(", and more")
        f:flush()
        d:run_ms(30)
        shows("f", "half and half, and more")
        f:close()
    end)

    it("of a name costs no other name its place", function()
        assert.equal(0, d:loads(function()
            d:write("other", "x", false)
            d:turn(0)
            for _, name in ipairs { "sub/f", "current/f", "link", "f" } do d:get(root, name) end
        end))
    end)

    it("is not missed when more happens than the kernel keeps", function()
        local limit = tonumber(assert(io.open("/proc/sys/fs/inotify/max_queued_events")):read("*n"))
        if limit > 20000 then return pending("the queue of this machine is too long") end
        local a, b = d:path("a"), d:path("b")
        d:write("a", "")
        for _ = 1, limit / 2 + 10 do
            os.rename(a, b)
            os.rename(b, a)
        end
        d:replace("f", "lost")
        d:run(function() return d:facts().overflows > 0 end)
        shows("f", "lost")
        shows("sub/f", "old sub/f")
    end)

    it("is told of files that are kept, not of what is written beside the folders on the way", function()
        d:mkdir("site", "site/public")
        d:write("site/public/f", "text")
        local inner = d:open("site/public")
        d:get(inner, "f")
        d:turn(0)
        local before = tonumber(d:facts().events)
        local log = assert(io.open(d:path("site/log"), "w"))
        for _ = 1, 100 do
            log:write("line\n")
            log:flush()
            d:turn(0)
        end
        log:close()
        assert.is_true(d:facts().events < before + 50, "events: " .. tonumber(d:facts().events)) -- others use the folder of temporary files, too
        d:write("site/public/f", "other", false)
        d:turn(0)
        assert.equal("other", d:get(inner, "f").body)
    end)

    it("leaves no watch behind when nothing is kept any more", function()
        assert.is_true(d:facts().folders_watched > 0)
        lib.file_folder_close(d.cache, root)
        assert.equal(0, d:facts().folders_watched)
        assert.equal(0, d:facts().entries)
        assert.equal(0, tonumber(d:facts().bytes))
    end)

    it("is looked for by age when told so", function()
        local aged = d:open("", "check 20\n")
        assert.equal("old f", d:get(aged, "f").body)
        d:run_ms(30)
        assert.equal(1, d:loads(function() assert.equal("old f", d:get(aged, "f").body) end)) -- is it the same still? It is
        assert.equal(ENOENT, d:get(aged, "none").error)
        d:run_ms(30)
        assert.equal(ENOENT, d:get(aged, "none").error)
        d:replace("f", "new")
        assert.equal("new", d:get(aged, "f").body)
    end)
end)

describe("the bound of memory", function()
    it("is kept, and what is asked for often stays", function()
        local d = driver.new { bytes_max = 200000 }
        local root = d:open("")
        for at = 1, 40 do d:write("f" .. at, text_of(10000)) end
        for at = 1, 40 do
            d:get(root, "f" .. at)
            d:get(root, "f1")
            assert.is_true(d:facts().bytes <= 200000)
        end
        assert.equal(0, d:loads(function() d:get(root, "f1") end))
        assert.is_true(d:facts().evicted > 20)
        assert.is_true(d:facts().entries > 10)
    end)

    it("holds for names that are not there, too", function()
        local d = driver.new()
        local root = d:open("")
        for at = 1, 5000 do d:get(root, "none" .. at) end
        assert.is_true(d:facts().failed <= 4096 and d:facts().failed > 3000)
    end)

    it("counts what is given up but still being sent; what then has no room is not kept in memory", function()
        local d = driver.new { bytes_max = 250000 }
        local root = d:open("")
        local wait, loans = ffi.new("struct file_wait"), {}
        for at = 1, 2 do
            d:write("f" .. at, text_of(90000))
            d:get(root, "f" .. at)
            local rc, entry = d:ask(root, "f" .. at, wait)
            assert.equal(1, rc)
            loans[at] = lib.file_entry_form(entry).loan
            loans[at].pieces = 1 -- as the engine does while it sends
            d:replace("f" .. at, text_of(90000))
            d:turn(0)
        end
        d:get(root, "f1")
        assert.is_true(d:facts().bytes_lent > 180000)
        assert.equal("opened", d:get(root, "f1").kind)
        for at = 1, 2 do loans[at].pieces = 0 end
        d:write("g", text_of(90000))
        assert.equal("memory", d:get(root, "g").kind)
        assert.equal(0, tonumber(d:facts().bytes_lent))
    end)

    it("is not cleared for what would not fit even then", function()
        local d = driver.new { bytes_max = 100000, file_bytes_max = 1e6 }
        local root = d:open("")
        for at = 1, 3 do
            d:write("small" .. at, "text")
            d:turn(0)
            d:get(root, "small" .. at)
        end
        d:write("large", text_of(100001))
        d:turn(0)
        assert.equal("opened", d:get(root, "large").kind)
        assert.equal(0, d:loads(function() for at = 1, 3 do d:get(root, "small" .. at) end end))
        assert.equal(0, tonumber(d:facts().evicted))
    end)

    it("may be nothing: files are read anew each time", function()
        local d = driver.new { bytes_max = 0 }
        local root = d:open("")
        d:write("a.txt", ("text "):rep(1000))
        assert.equal(3, d:loads(function()
            for _ = 1, 3 do assert.equal(("text "):rep(1000), d:get(root, "a.txt").body) end
        end))
        assert.equal(0, d:facts().entries)
    end)
end)

describe("another coding", function()
    local d, root
    local CONTENT = ("compressible "):rep(1000)
    before_each(function()
        d = driver.new()
        root = d:open("")
        d:write("a.css", CONTENT)
        d:write("a.png", CONTENT)
        d:write("small.css", ("x"):rep(511))
        d:write("page.html", CONTENT)
        d:mkdir("sub")
        d:write("sub/index.html", CONTENT)
    end)

    it("is a sibling, as long as that is not older", function()
        assert.is_nil(d:coded(root, "a.css", "br", false))
        d:write("a.css.br", "brotli", 1600000000)
        d:turn(0)
        local found = d:coded(root, "a.css", "br", false)
        assert.equal("brotli", found.body)
        assert.is_truthy(found.lines:find("^Content%-Type: text/css; charset=utf%-8\r\nContent%-Encoding: br\r\nContent%-Length: 6\r\n"))
        assert.is_truthy(found.lines:find("Vary: Accept-Encoding", 1, true))
        assert.not_equal(d:get(root, "a.css").etag, found.etag)
        d:write("a.css", CONTENT .. "2", 1600000001)
        d:turn(0)
        assert.is_nil(d:coded(root, "a.css", "br", false))
        d:write("a.css.br", "brotli 2", 1600000001)
        d:turn(0)
        assert.equal("brotli 2", d:coded(root, "a.css", "br", false).body)
        os.remove(d:path("a.css.br"))
        d:turn(0)
        assert.is_nil(d:coded(root, "a.css", "br", false))
    end)

    it("of an index is a sibling of the index", function()
        d:write("sub/index.html.zst", "zstd")
        assert.equal("zstd", d:coded(root, "sub/", "zstd").body)
    end)

    for _, coding in ipairs { "gzip", "br", "zstd" } do
        it("is " .. coding .. " made here when there is no sibling, once for a content", function()
            local suffix = ({ gzip = ".gz", br = ".br", zstd = ".zst" })[coding]
            assert.is_nil(d:coded(root, "a.css", coding, false))
            local found
            assert.equal(1, d:loads(function()
                for _ = 1, 5 do found = d:coded(root, "a.css", coding) end
            end))
            assert.is_true(#found.body < 500)
            assert.equal(CONTENT, decode[coding](found.body))
            assert.is_truthy(found.lines:find("Content-Encoding: " .. coding .. "\r\n", 1, true))
            assert.is_nil(d:coded(root, "a.css", coding, false))
            d:write("a.css" .. suffix, "sibling")
            d:turn(0)
            assert.equal("sibling", d:coded(root, "a.css", coding).body)
            os.remove(d:path("a.css" .. suffix))
            d:turn(0)
            assert.equal(1, d:loads(function() found = d:coded(root, "a.css", coding) end)) -- to see that it is gone; it was packed already
            assert.equal(CONTENT, decode[coding](found.body))
            d:write("a.css", CONTENT:upper(), 1600000001)
            d:turn(0)
            assert.equal(CONTENT:upper(), decode[coding](d:coded(root, "a.css", coding).body))
        end)
    end

    it("does not count what is missing beside files among what is asked for in vain", function()
        assert.is_not_nil(d:coded(root, "a.css", "gzip"))
        assert.equal(0, d:facts().failed)
        d:get(root, "none.css")
        assert.equal(1, d:facts().failed)
    end)

    it("is not made of what is small, or does not become smaller", function()
        local noise = {}
        for at = 1, 4000 do noise[at] = string.char(math.random(0, 255)) end
        d:write("noise.css", table.concat(noise))
        for _, coding in ipairs { "gzip", "br", "zstd" } do
            assert.is_nil(d:coded(root, "small.css", coding))
            assert.is_nil(d:coded(root, "noise.css", coding))
            assert.equal(0, d:loads(function() assert.is_nil(d:coded(root, "noise.css", coding)) end))
        end
    end)

    it("is made of large contents, too, while others are asked for", function()
        local large = driver.new { file_bytes_max = 2e6 }
        local content = text_of(100000):rep(8)
        large:write("large.txt", content)
        large:write("small.txt", "small")
        local folder = large:open("")
        for _, coding in ipairs { "gzip", "br", "zstd" } do
            assert.equal(content, decode[coding](large:coded(folder, "large.txt", coding).body))
            assert.equal("small", large:get(folder, "small.txt").body)
        end
    end)

    it("is made later when all hands are full", function()
        assert.is_nil(d:coded(root, "a.css", "gzip", false)) -- there is no sibling
        local waits, form, wait = {}, ffi.new("const struct file_form *[1]"), ffi.new("struct file_wait")
        for at = 1, 256 do d:write("young" .. at, "text", false) end
        for at = 1, 256 do
            waits[at] = ffi.new("struct file_wait")
            assert.equal(0, (d:ask(root, "young" .. at, waits[at])))
        end
        local _, entry = d:ask(root, "a.css", wait)
        assert.equal(ENOENT, lib.file_cache_coded(d.cache, entry, 2, 1, wait, form))
        for at = 1, 256 do lib.file_cache_leave(d.cache, waits[at]) end
        d:run(function() return d:facts().loading == 0 end)
        assert.equal(CONTENT, decode.gzip(d:coded(root, "a.css", "gzip").body))
    end)

    it("that is still being made when the cache is given up is not waited for", function()
        local large = driver.new { file_bytes_max = 2e7, bytes_max = 1e8 }
        large:write("large.txt", text_of(10000):rep(1000))
        local folder, wait = large:open(""), ffi.new("struct file_wait")
        large:get(folder, "large.txt")
        local _, entry = large:ask(folder, "large.txt", wait)
        assert.equal(0, lib.file_cache_coded(large.cache, entry, 1, 0, wait, ffi.new("const struct file_form *[1]")))
        large:wait_for(wait)
        assert.equal(0, lib.file_cache_coded(large.cache, entry, 1, 1, wait, ffi.new("const struct file_form *[1]")))
    end)
end)

describe("a listing", function()
    local d, root
    before_each(function()
        d = driver.new()
        d:mkdir("box", "box/inner", "empty")
        d:write("box/b.txt", ("x"):rep(2000), 1500000000)
        d:write("box/a <&> ü.txt", "1", 1600000000)
        d:write("box/.hidden", "")
        d:link("../../secret", "box/broken")
        root = d:open("", "list\n")
    end)

    local function names(order)
        local list = {}
        for name in d:get(root, "box/", order).body:gmatch('<tr><td><a href="[^"]*">([^<]*)</a>') do list[#list + 1] = name end
        return table.concat(list, " | ")
    end

    it("is there for folders without an index", function()
        assert.equal("listable", d:get(root, "box/").kind)
        assert.equal("directory", d:get(root, "box").kind)
        d:write("box/index.html", "index")
        d:turn(0)
        assert.equal("index", d:get(root, "box/").body)
        assert.equal(ENOENT, d:get(d:open(""), "empty/").error)
    end)

    it("has names, sizes and times, escaped, in the order asked for", function()
        local page = d:get(root, "box/", "n").body
        assert.is_truthy(page:find('<a href="./a%20%3C%26%3E%20%C3%BC.txt">a &lt;&amp;&gt; ü.txt</a><td>1<td>2020-09-13 12:26', 1, true))
        assert.is_truthy(page:find('<a href="./inner/">inner/</a><td><td>', 1, true))
        assert.is_truthy(page:find("<td>2.0 k<td>2017-07-14 02:40", 1, true))
        assert.equal("../ | inner/ | a &lt;&amp;&gt; ü.txt | b.txt", names("n"))
        assert.equal("../ | inner/ | b.txt | a &lt;&amp;&gt; ü.txt", names("N"))
        assert.equal("../ | inner/ | a &lt;&amp;&gt; ü.txt | b.txt", names("s"))
        assert.equal("../ | inner/ | b.txt | a &lt;&amp;&gt; ü.txt", names("t"))
        assert.equal("../ | inner/ | a &lt;&amp;&gt; ü.txt | b.txt", names("T"))
    end)

    it("of very many names is made while others are asked for", function()
        d:mkdir("many")
        assert.equal(0, os.execute(("cd '%s' && seq -f name%%06g 1 10000 | xargs touch"):format(d:path("many"))))
        d:write("f", "text")
        d:get(root, "f")
        local wait = ffi.new("struct file_wait")
        assert.equal(0, (d:ask(root, "many/", wait, "n")))
        d:run(function() return d:facts().loading == 1 end)
        assert.equal(0, d:loads(function() assert.equal("text", d:get(root, "f").body) end))
        d:wait_for(wait)
        local page = d:get(root, "many/", "n").body
        assert.is_truthy(page:find("10000 entries", 1, true))
        assert.is_truthy(page:find(">name010000<", 1, true))
    end)

    it("shows what comes and goes", function()
        names("n")
        d:write("box/c.txt", "")
        os.remove(d:path("box/b.txt"))
        d:turn(0)
        assert.equal("../ | inner/ | a &lt;&amp;&gt; ü.txt | c.txt", names("n"))
    end)
end)

describe("a file system without events", function()
    it("is looked at by age, which is told once and counted", function()
        local d = driver.new()
        d:write("f", "text")
        d:get(d:open(""), "f")
        assert.is_nil(d:notice())
        assert.equal(0, d:facts().by_age)
        local kernel = d:open("/proc/sys/kernel")
        d:get(kernel, "ostype")
        d:get(kernel, "none")
        assert.same({ 2, 0 }, { d:facts().by_age, d:facts().by_age_why })
        assert.is_truthy(d:notice():find("changes below /proc/sys/kernel are not told by its file system; files are looked at", 1, true))
        assert.is_nil(d:notice())
        local before = d:facts().loads
        d:get(kernel, "none")
        assert.equal(before, d:facts().loads)
        d:run_ms(1010)
        d:get(kernel, "none")
        assert.is_true(d:facts().loads > before)
    end)
end)

describe("without watches", function()
    it("changes are looked for by age, and the user is told once", function()
        local resource = require "posix.sys.resource"
        local before = resource.getrlimit(resource.RLIMIT_NOFILE)
        local fillers, d = {}, nil
        local probe = driver.new() -- what the module needs is loaded
        assert.is_nil(probe:notice())
        d = driver.new { starved = function()
            assert(resource.setrlimit(resource.RLIMIT_NOFILE, { rlim_cur = 64, rlim_max = before.rlim_max }))
            for _ = 1, 64 do fillers[#fillers + 1] = unistd.dup(0) end
        end, fed = function()
            for _, fd in ipairs(fillers) do unistd.close(fd) end
            assert(resource.setrlimit(resource.RLIMIT_NOFILE, before))
        end }
        assert.is_truthy(d:notice():find("files are looked at when they are older than a second", 1, true))
        assert.is_nil(d:notice())
        local root = d:open("")
        d:write("f", "old")
        assert.equal("old", d:get(root, "f").body)
        assert.equal(0, d:loads(function() d:get(root, "f") end))
        d:replace("f", "new")
        d:run_ms(1010)
        assert.equal("new", d:get(root, "f").body)
    end)
end)
