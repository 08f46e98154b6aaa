--- What may be said of a folder of files, over the wire: codings, several ranges, listings, pages instead of what is missing, filters.
local decode = require "t.support.decode"
local process = require "t.support.process"
local server = require "t.support.server"

local PAGE = ("<p>compressible</p>\n"):rep(200)
local BIG = {}
for at = 1, 800000 do BIG[at] = ("%07d\n"):format(at) end
BIG = table.concat(BIG) -- 6.4 MB: read while it is sent

describe("files with options", function()
    local s, c
    setup(function()
        s = server.start {
            files = {
                ["public/index.html"] = PAGE, ["public/a.css"] = PAGE, ["public/a.css.br"] = "brotli of a", ["public/a.css.gz"] = "gzip of a",
                ["public/pic.png"] = PAGE, ["public/404.html"] = "<h1>lost", ["public/big.bin"] = BIG, ["public/data.bin"] = BIG:sub(1, 100000),
                ["public/box/one.txt"] = "1", ["public/box/two.zip"] = "22", ["public/sub/index.html"] = "sub", ["public/admin/key"] = "secret",
                ["public/own.txt"] = "own",
            },
            script = [[
                local mg = require "moongate"
                local app = mg.app()
                app:files("/*", "public")
                app:files("/spa/*", "public", { try = "index.html" })
                app:files("/lost/*", "public", { not_found = "404.html", list = true, download = "*.zip" })
                app:files("/aged/*", "public", { cache_control = { ["*.css"] = "max-age=9", ["*"] = "no-cache" }, compress = false })
                app:files("/logs/*", "public", { growing = true })
                app:files("/gone/*", "public", { not_found = "none.html" })
                app:filter("/filtered/*", function(req, next)
                    local res = next(req)
                    res.headers["x-filter"] = "seen " .. res.status
                    res.headers["cache-control"] = "own"
                    return res
                end)
                app:files("/filtered/*", "public", { cache_control = "of the folder" })
                app:filter("/admin/*", function(req, next) return 401 end)
                app:get("/named", function() return mg.file("public/own.txt") end)
                app:get("/named-index", function() return mg.file("public/sub") end)
                app:get("/own", function() return mg.file("public/own.txt", { status = 203, type = "text/x-own", headers = { ["x-a"] = "b" } }) end)
                app:post("/named", function(req) return mg.file("public/own.txt") end)
                app:on_error("not-found", function(req, err) return 404, "no " .. req.path .. ": " .. tostring(err.message) end)
                app:on_error(403, function() return 403, "not for you" end)
                return app]],
        }
        -- as old as files on a server are: what is younger is waited for
        os.execute(("find %s/public -type f -exec touch -d '2020-01-01' {} +; ln -s ../../x %s/public/out"):format(s.folder, s.folder))
    end)
    before_each(function() c = s:connect() end)
    teardown(function()
        s:stop()
        server.sweep()
    end)

    it("are sent in the coding that the client likes best", function()
        local function coded(target, accept)
            local response = c:get(target, { ["Accept-Encoding"] = accept })
            assert.equal(200, response.status)
            return response:get("content-encoding"), response.body, response
        end
        local coding, body, response = coded("/a.css", "gzip, br")
        assert.same({ "br", "brotli of a" }, { coding, body })
        assert.same({ "Accept-Encoding", "text/css; charset=utf-8" }, { response:get("vary"), response:get("content-type") })
        assert.equal("gzip of a", select(2, coded("/a.css", "gzip, br;q=0.5")))
        assert.equal(PAGE, select(2, coded("/a.css", "identity, gzip;q=0.5")))
        assert.equal("brotli of a", select(2, coded("/a.css", "gzip, br, zstd"))) -- of those that are there, though zstd could be made
        for accept, expected in pairs { ["gzip, deflate, br, zstd"] = "zstd", ["gzip, deflate, br"] = "br", ["gzip, br;q=0.9, zstd;q=0.9"] = "gzip" } do
            coding, body, response = coded("/", accept)
            assert.equal(expected, coding)
            assert.equal(PAGE, decode[coding](body))
            assert.equal(tostring(#body), response:get("content-length"))
        end
        assert.is_nil((coded("/pic.png", "gzip")))
        assert.is_nil((coded("/aged/a.css", "gzip")))
        local tags, count = {}, 0
        for _, accept in ipairs { "gzip", "br", "identity" } do tags[select(3, coded("/a.css", accept)):get("etag")] = true end
        for _ in pairs(tags) do count = count + 1 end
        assert.equal(3, count)
        assert.equal("gzip", c:head("/", { ["Accept-Encoding"] = "gzip" }):get("content-encoding"))
    end)

    it("are compared by the coding's own tag", function()
        local tag = c:get("/", { ["Accept-Encoding"] = "gzip" }):get("etag")
        local response = c:get("/", { ["Accept-Encoding"] = "gzip", ["If-None-Match"] = tag })
        assert.same({ 304, tag, "Accept-Encoding" }, { response.status, response:get("etag"), response:get("vary") })
        assert.is_nil(response:get("content-type"))
        assert.is_nil(response:get("content-length"))
        assert.equal(200, c:get("/", { ["If-None-Match"] = tag }).status)
    end)

    for _, name in ipairs { "data.bin", "big.bin" } do
        it(("are sent in several parts: %s"):format(name), function()
            local response = c:get("/" .. name, { Range = "bytes=0-7,50000-50007,-8" })
            assert.equal(206, response.status)
            local boundary = response:get("content-type"):match("^multipart/byteranges; boundary=(%w+)$")
            local whole = name == "big.bin" and BIG or BIG:sub(1, 100000)
            local parts, at = {}, 1
            for head, from, last, size in response.body:gmatch("\r\n%-%-" .. boundary .. "\r\n(.-\r\nContent%-Range: bytes (%d+)%-(%d+)/(%d+)\r\n\r\n)") do
                local _, stop = response.body:find(head, at, true)
                parts[#parts + 1] = response.body:sub(stop + 1, stop + last - from + 1)
                assert.equal(#whole, tonumber(size))
                assert.equal("application/octet-stream", head:match("^Content%-Type: ([^\r]*)"))
                at = stop + 1
            end
            assert.same({ whole:sub(1, 8), whole:sub(50001, 50008), whole:sub(-8) }, parts)
            assert.equal("--" .. boundary .. "--\r\n", response.body:match("[^\n]*\n$"))
            assert.equal(200, c:get("/" .. name).status)
        end)

        it(("may be taken up again: %s"):format(name), function()
            local whole = name == "big.bin" and BIG or BIG:sub(1, 100000)
            local tag = c:head("/" .. name):get("etag")
            local response = c:get("/" .. name, { Range = "bytes=90000-", ["If-Range"] = tag })
            assert.equal(206, response.status)
            assert.is_true(whole:sub(90001) == response.body)
            assert.is_true(whole == c:get("/" .. name, { Range = "bytes=90000-", ["If-Range"] = '"other"' }).body)
            response = c:get("/" .. name, { Range = ("bytes=%d-"):format(#whole) })
            assert.same({ 416, ("bytes */%d"):format(#whole) }, { response.status, response:get("content-range") })
        end)
    end

    it("give a page of their own for what is missing", function()
        local response = c:get("/lost/none")
        assert.same({ 404, "<h1>lost", "text/html; charset=utf-8" }, { response.status, response.body, response:get("content-type") })
        assert.is_nil(response:get("etag"))
        assert.equal("no /gone/none: no such file", c:get("/gone/none").body)
        assert.equal(404, c:get("/lost/none", { ["If-None-Match"] = "*" }).status)
    end)

    it("give one page for all that is missing, for sites of one page", function()
        local response = c:get("/spa/users/7?x=1")
        assert.same({ 200, PAGE }, { response.status, response.body })
        assert.equal(304, c:get("/spa/users/8", { ["If-None-Match"] = response:get("etag") }).status)
        assert.equal("own", c:get("/spa/own.txt").body)
    end)

    it("are listed where that is said, in the order asked for", function()
        local response = c:get("/lost/box/")
        assert.same({ 200, "text/html; charset=utf-8" }, { response.status, response:get("content-type") })
        assert.is_true(response.body:find("one.txt", 1, true) < response.body:find("two.zip", 1, true))
        response = c:get("/lost/box/?sort=N")
        assert.is_true(response.body:find("one.txt", 1, true) > response.body:find("two.zip", 1, true))
        assert.equal("/lost/box/?a=b", c:get("/lost/box?a=b"):get("location"))
        assert.equal(404, c:get("/box/").status)
        assert.equal("gzip", c:get("/lost/box/", { ["Accept-Encoding"] = "gzip" }):get("content-encoding"))
        process.write_file(s.folder .. "/public/box/new.txt", "new")
        assert.is_truthy(c:get("/lost/box/").body:find("new.txt", 1, true))
    end)

    it("have fields by pattern", function()
        assert.equal("max-age=9", c:get("/aged/a.css"):get("cache-control"))
        assert.equal("no-cache", c:get("/aged/"):get("cache-control"))
        assert.equal('attachment; filename="two.zip"', c:get("/lost/box/two.zip"):get("content-disposition"))
        assert.is_nil(c:get("/box/two.zip"):get("content-disposition"))
    end)

    it("pass filters, whose fields win, found or not, the first time as well as later", function()
        for _ = 1, 2 do
            local response = c:get("/filtered/own.txt")
            assert.same({ 200, "own", "seen 200", "own" }, { response.status, response.body, response:get("x-filter"), response:get("cache-control") })
            assert.is_truthy(response:get("etag"))
            response = c:get("/filtered/none")
            assert.same({ 404, "no /filtered/none: no such file", "seen 200" }, { response.status, response.body, response:get("x-filter") })
        end
        assert.equal(206, c:get("/filtered/data.bin", { Range = "bytes=0-9" }).status)
        assert.equal(304, c:get("/filtered/own.txt", { ["If-None-Match"] = "*" }).status)
        assert.is_true(BIG == c:get("/filtered/big.bin").body)
    end)

    it("are behind their filters by every spelling", function()
        for _, target in ipairs { "/admin/key", "/%61dmin/key", "/./admin/key", "/x/../admin/key", "/admin%2Fkey", "/admin%2fkey", "//admin/key", "/ADMIN/key" } do
            local response = c:get(target)
            assert.is_true(response.status == 401 or response.status == 404, target .. " " .. response.status)
        end
    end)

    it("that may not be reached are told from those that are not there", function()
        assert.same({ 403, "not for you" }, { c:get("/out").status, c:get("/out").body })
        assert.equal("no /none: no such file", c:get("/none").body)
    end)

    it("may be named by a handler", function()
        local response = c:get("/named")
        assert.same({ 200, "own" }, { response.status, response.body })
        assert.equal(304, c:get("/named", { ["If-None-Match"] = response:get("etag") }).status)
        assert.equal(404, c:get("/named-index").status)
        response = c:get("/own", { ["If-None-Match"] = "*", Range = "bytes=0-0" })
        assert.same({ 203, "own", "text/x-own", "b" }, { response.status, response.body, response:get("content-type"), response:get("x-a") })
        assert.is_nil(response:get("etag"))
        assert.equal("own", c:post("/named", "x").body)
        assert.equal(405, c:post("/own.txt", "x").status)
    end)

    it("are asked for by HEAD with the length of GET", function()
        for _, target in ipairs { "/own.txt", "/big.bin", "/data.bin", "/", "/none" } do
            local head, get = c:head(target), c:get(target)
            assert.same({ get.status, tostring(#get.body) }, { head.status, head:get("content-length") })
        end
    end)

    for what, change in pairs {
        ["are written to"] = function(path)
            local f = assert(io.open(path, "r+"))
            f:write("other")
            f:close()
        end,
        grow = function(path)
            local f = assert(io.open(path, "a"))
            f:write("more")
            f:close()
        end,
        ["become shorter"] = function(path) assert.equal(0, os.execute("truncate -s 6000000 " .. path)) end,
    } do
        it("are cut short, so that the client can tell, and the log, too, when they " .. what .. " while they are sent from the disk", function()
            local name = what:gsub("%W", "") .. ".bin"
            local path = s.folder .. "/public/" .. name
            process.write_file(path, BIG)
            os.execute("touch -d 2020-01-01 " .. path)
            c:send(("GET /%s HTTP/1.1\r\nHost: a\r\n\r\n"):format(name))
            c:read_head()
            c:read_bytes(1000)
            change(path)
            local rest = c:read_to_end()
            assert.is_true(#rest < #BIG - 1000)
            assert.is_true(rest == BIG:sub(1001, 1000 + #rest)) -- nothing of the change is among it
            s:wait_log("file " .. name .. ": it was changed while it was being sent; the answer is cut short")
            assert.is_true(s:get("/" .. name).body == process.read_file(path))
            os.remove(path)
        end)
    end

    it("that are said to grow are sent as long as they were, whatever is added meanwhile", function()
        local path = s.folder .. "/public/growing.log"
        process.write_file(path, BIG)
        os.execute("touch -d 2020-01-01 " .. path)
        c:send("GET /logs/growing.log HTTP/1.1\r\nHost: a\r\n\r\n")
        c:read_head()
        local first = c:read_bytes(1000)
        local f = assert(io.open(path, "a"))
        f:write("more")
        f:close()
        assert.is_true(first .. c:read_bytes(#BIG - 1000) == BIG)
        assert.is_true(c:get("/logs/growing.log").body == BIG .. "more")
        os.remove(path)
    end)

    it("keep their place among pipelined answers, also the first time", function()
        process.write_file(s.folder .. "/public/new1", "1")
        process.write_file(s.folder .. "/public/new2", "2")
        local answers = c:pipeline { "/new1", "/none3", "/own.txt", "/new2", "/big.bin", "/none4", "/new1" }
        local bodies = {}
        for at, answer in ipairs(answers) do bodies[at] = #answer.body < 100 and answer.body or #answer.body end
        assert.same({ "1", "no /none3: no such file", "own", "2", #BIG, "no /none4: no such file", "1" }, bodies)
    end)
end)

describe("options of files", function()
    local mistakes = {
        { '{ cache_controll = "x" }', "cache_control" }, { '{ index = "a/b" }', "a file name" }, { '{ links = "outside" }', "inside" },
        { '{ check = "0" }', "a duration" }, { '{ list = "yes" }', "true or false" }, { '{ cache_control = "a\\nb" }', "control" },
        { "{ try = 1 }", "a path" },
    }
    for _, case in ipairs(mistakes) do
        it("are checked: " .. case[1], function()
            local path = process.folder() .. "/app.lua"
            process.write_file(path, ('local app = require "moongate".app()\napp:files("/*", ".", %s)\nreturn app\n'):format(case[1]))
            local code, out, err = process.run({ server.binary, "check", path }, 10)
            assert.equal(1, code)
            assert.is_truthy((out .. err):find("app.lua:2", 1, true), out .. err)
            assert.is_truthy((out .. err):find(case[2], 1, true), out .. err)
        end)
    end
end)
