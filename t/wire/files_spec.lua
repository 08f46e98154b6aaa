--- Files over the wire: types, indexes, conditions, ranges, what must not be reached, and changes on disk.
local process = require "t.support.process"
local server = require "t.support.server"

local BIG = {}
for at = 1, 300000 do BIG[at] = ("%07d\n"):format(at) end
BIG = table.concat(BIG)

describe("files of a folder", function()
    local s
    setup(function()
        s = server.start {
            files = {
                ["public/index.html"] = "<h1>index", ["public/a.txt"] = "text of a", ["public/sub/index.html"] = "<h1>sub", ["public/data.json"] = "{}",
                ["public/with space.css"] = "b{}", ["public/empty"] = "", ["public/.hidden"] = "no", ["public/.well-known/x"] = "known",
                ["public/big.bin"] = BIG, ["secret.txt"] = "secret",
            },
            script = [[
                local mg = require "moongate"
                local app = mg.app()
                app:files("/*", "public")
                app:files("/assets/*path", "public", { cache_control = "max-age=60" })
                app:get("/made", function(req) return "made" end)
                app:on_error("not-found", function(req, err) return 404, "no " .. req.path end)
                return app]],
        }
        os.execute(("ln -s ../secret.txt %s/public/link.txt; ln -s a.txt %s/public/inside.txt; mkfifo %s/public/fifo"):format(s.folder, s.folder, s.folder))
    end)
    teardown(function()
        s:stop()
        server.sweep()
    end)

    local function check(target, status, body, kind)
        local response = s:get(target)
        assert.equal(status, response.status, target)
        assert.equal(body, response.body)
        assert.equal(kind, response:get("content-type"))
        return response
    end

    it("have types, indexes and escapes in their names", function()
        check("/a.txt", 200, "text of a", "text/plain; charset=utf-8")
        check("/", 200, "<h1>index", "text/html; charset=utf-8")
        check("/sub/", 200, "<h1>sub", "text/html; charset=utf-8")
        check("/with%20space.css", 200, "b{}", "text/css; charset=utf-8")
        assert.equal("application/json", s:get("/data.json"):get("content-type"))
        assert.equal("0", s:get("/empty"):get("content-length"))
        check("/.well-known/x", 200, "known", "application/octet-stream")
        check("/inside.txt", 200, "text of a", "text/plain; charset=utf-8")
        assert.equal("made", s:get("/made").body)
    end)

    it("send a folder without its slash there, with the query", function()
        local response = check("/sub?a=1", 301, "")
        assert.equal("/sub/?a=1", response:get("location"))
    end)

    it("have the fields that were asked for, not on errors", function()
        assert.equal("max-age=60", s:get("/assets/a.txt"):get("cache-control"))
        assert.is_nil(s:get("/a.txt"):get("cache-control"))
        assert.is_nil(s:get("/assets/none"):get("cache-control"))
    end)

    it("that are not there, or must not be seen, are not found or forbidden", function()
        check("/none.txt", 404, "no /none.txt", "text/plain; charset=utf-8")
        for _, target in ipairs {
            "/.hidden", "/../secret.txt", "/%2e%2e/secret.txt", "/sub/../../secret.txt", "/..%2fsecret.txt", "/sub/..%2f..%2fsecret.txt", "/a.txt/",
            "/a.txt/x", "//a.txt", "/a.txt%00.html", "/fifo", "/link.txt", "/sub//index.html", "/%5c..%5csecret.txt", "/./%2e/%2e%2e/secret.txt",
        } do
            local response = s:get(target)
            assert.is_true(response.status >= 400 and response.status < 500, target .. " " .. response.status)
            assert.is_nil(response.body:find("secret$"))
            assert.not_equal("text of a", response.body)
        end
        assert.equal(405, s:connect():post("/a.txt", "x").status)
    end)

    it("follow conditions", function()
        local response = s:get("/a.txt")
        local etag, modified = response:get("etag"), response:get("last-modified")
        local c = s:connect()
        assert.equal(304, c:get("/a.txt", { ["If-None-Match"] = etag }).status)
        assert.equal(304, c:get("/a.txt", { ["If-Modified-Since"] = modified }).status)
        assert.equal(200, c:get("/a.txt", { ["If-None-Match"] = '"other"' }).status)
        assert.equal(412, c:get("/a.txt", { ["If-Match"] = '"other"' }).status)
        assert.equal("", c:head("/a.txt").body)
        assert.equal("9", c:head("/a.txt"):get("content-length"))
    end)

    it("may be asked for in part", function()
        local c = s:connect()
        local response = c:get("/big.bin", { Range = "bytes=8-15" })
        assert.equal(206, response.status)
        assert.equal("0000002\n", response.body)
        assert.equal(("bytes 8-15/%d"):format(#BIG), response:get("content-range"))
        assert.equal("0300000\n", c:get("/big.bin", { Range = "bytes=-8" }).body)
        assert.equal(BIG:sub(100001), c:get("/big.bin", { Range = "bytes=100000-" }).body)
        assert.equal(416, c:get("/big.bin", { Range = "bytes=99999999-" }).status)
        assert.equal(#BIG, #c:get("/big.bin", { Range = "lines=1-2" }).body)
    end)

    it("keep their place among pipelined answers", function()
        local c = s:connect()
        local answers = c:pipeline { "/big.bin", "/made", "/a.txt", "/big.bin", "/none", "/made" }
        assert.is_true(answers[1].body == BIG)
        assert.equal("made", answers[2].body)
        assert.equal("text of a", answers[3].body)
        assert.is_true(answers[4].body == BIG)
        assert.equal(404, answers[5].status)
        assert.equal("made", answers[6].body)
    end)

    it("are sent to a client that leaves in the middle, and then to others", function()
        for _ = 1, 50 do
            local c = s:connect()
            c:send("GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n")
            c:read_head()
            c:reset()
        end
        assert.is_true(s:get("/big.bin").body == BIG)
    end)

    it("show their changes at once", function()
        local path = s.folder .. "/public/changing.txt"
        for round = 1, 20 do
            process.write_file(path .. ".new", "version " .. round)
            os.rename(path .. ".new", path)
            assert.equal("version " .. round, s:get("/changing.txt").body)
        end
        os.remove(path)
        assert.equal(404, s:get("/changing.txt").status)
    end)
end)
