--- Whatever is asked of a folder, nothing from outside it comes back: random spellings of paths, links that are swapped while they are followed,
--- special files, names of every kind and length. And what must not be read is told from what is not there.
local process = require "t.support.process"
local server = require "t.support.server"

local SECRET = "this is outside of the folder"
local TOKENS = { "..", ".", "%2e", "%2E%2e", "%2e%2E/", "/", "//", "%2f", "%2F", "%5c", "\\", "%00", "%c0%ae", "%c0%af", "%e0%80%af", "%252e%252e", "..;", "sub", "su%62",
    "a.txt", "%61.txt", "out", "deep", "secret.txt", "secr%65t.txt", "public", "~", "etc/passwd", "proc/self/environ", "%09", "%20", "?", "%3f", "a.txt/",
    ".hidden", "%2ehidden", ".git/config", ":", "%ff", "%" }

local function random_target()
    local parts = { "/" }
    for at = 1, math.random(1, 8) do
        parts[at * 2] = TOKENS[math.random(#TOKENS)]
        parts[at * 2 + 1] = math.random() < 0.6 and "/" or ""
    end
    return table.concat(parts)
end

local function start(more)
    local files = { ["secret.txt"] = SECRET, ["public-secret/secret.txt"] = SECRET, ["public/a.txt"] = "text", ["public/sub/b.txt"] = "more",
        ["public/.hidden"] = SECRET, ["public/.git/config"] = SECRET }
    for name, text in pairs(more or {}) do files[name] = text end
    local s = server.start { files = files, script = [[
        local app = require "moongate".app()
        app:files("/*", "public", { list = true })
        app:files("/plain/*", "public")
        return app]] }
    os.execute(("cd '%s' && ln -s .. public/out && ln -s ../secret.txt public/link && ln -s /etc public/etc && mkfifo public/fifo && "
        .. "ln -s /dev/zero public/zero && find . -type f -exec touch -d 2020-01-01 {} +"):format(s.folder))
    return s
end

describe("a folder that is asked for all sorts of things", function()
    after_each(server.sweep)

    it("gives nothing of what is outside it, or hidden, by any of four thousand spellings", function()
        local s = start()
        math.randomseed(20260101)
        local c, served = s:connect(), 0
        for _ = 1, 4000 do
            local target = (math.random() < 0.3 and "/plain" or "") .. random_target()
            c:send("GET " .. target .. " HTTP/1.1\r\nHost: a\r\n\r\n")
            local response = c:read()
            assert.is_nil(response.body:find(SECRET, 1, true), target)
            assert.is_nil(response.body:find("root:", 1, true), target)
            local status = response.status
            assert.is_true(status == 200 or status == 301 or status == 400 or status == 403 or status == 404, target .. " " .. status)
            if status == 301 then assert.is_nil(response:get("location"):find("^//"), target) end -- it would lead to another host
            served = served + (status == 200 and 1 or 0)
            if response:get("connection") == "close" then c = s:connect() end
        end
        assert.is_true(served > 50, served .. " were answered with a file")
        s:stop()
    end)

    it("does not follow what is swapped for a link to the outside meanwhile", function()
        local s = start { ["public/swap/secret.txt"] = "inside", ["swapper.lua"] = [[
            local folder, socket = arg[1] .. "/public/", require "socket"
            local over = socket.gettime() + 2
            while socket.gettime() < over do
                os.rename(folder .. "swap", folder .. "away")
                os.execute("ln -s ../public-secret '" .. folder .. "swap'")
                os.remove(folder .. "swap")
                os.rename(folder .. "away", folder .. "swap")
            end]] }
        local swapper = process.spawn { "luajit", s.folder .. "/swapper.lua", s.folder }
        local seen, c = {}, s:connect()
        while swapper:is_running() do
            for _, response in ipairs(c:pipeline { "/swap/secret.txt", "/plain/swap/secret.txt", "/swap/", "/a.txt" }) do
                assert.is_nil(response.body:find(SECRET, 1, true))
                seen[response.status] = (seen[response.status] or 0) + 1
            end
        end
        assert.is_true((seen[200] or 0) > 100)
        assert.equal("inside", s:get("/swap/secret.txt").body)
        s:stop()
    end)

    it("gives no special file, and nothing through links to the outside", function()
        local s = start()
        local c = s:connect()
        for _, target in ipairs { "/fifo", "/zero", "/link", "/out/secret.txt", "/etc/passwd", "/out/", "/etc" } do
            local status = c:get(target).status
            assert.is_true(status == 403, target .. " " .. status)
        end
        local page = c:get("/").body
        assert.is_truthy(page:find("a.txt", 1, true))
        for _, name in ipairs { ".hidden", ".git", "fifo", "link", "out", "etc", "zero" } do assert.is_nil(page:find(name, 1, true), name) end
        s:stop()
    end)

    it("has names with blanks, in UTF-8, with every sign, and as long as names can be", function()
        local names, files = { "a b", "ü", "日本", "50%", "a+b&c=d", "#1", "q?", "'", '"', "<b>", "[x]", "a;b,c", "$HOME", "~x", "a\tb", "a\\b", ("n"):rep(255) }, {}
        for at, name in ipairs(names) do files["public/" .. name] = "content " .. at end
        local s = start(files)
        local c, page = s:connect(), s:get("/").body
        for at, name in ipairs(names) do
            local target = "/" .. name:gsub("[^%w]", function(char) return ("%%%02x"):format(char:byte()) end)
            local response = c:get(target)
            assert.same({ 200, "content " .. at }, { response.status, response.body }, name)
        end
        local count = 0
        for link in page:gmatch('href="%./([^"]*)"') do
            if not link:find("/$") then
                assert.equal(200, c:get("/" .. link).status, link)
                count = count + 1
            end
        end
        assert.equal(#names + 1, count) -- those, and a.txt
        assert.equal(404, c:get("/" .. ("n"):rep(256)).status)
        assert.equal(404, c:get("/" .. ("n/"):rep(2500)).status)
        s:stop()
    end)

    it("tells what may not be read from what is not there", function()
        local folder, through = process.folder(), nil
        for name, text in pairs { ["open.txt"] = "open", ["closed.txt"] = "closed" } do process.write_file(folder .. "/" .. name, text) end
        require "lfs".mkdir(folder .. "/box")
        process.write_file(folder .. "/box/in.txt", "in")
        os.execute(("chmod 755 '%s'; chmod 644 '%s/open.txt'; chmod 600 '%s/closed.txt'; chmod 700 '%s/box'; find '%s' -exec touch -d 2020-01-01 {} +")
            :format(folder, folder, folder, folder, folder))
        if require "posix.unistd".geteuid() == 0 then -- who may read all; somebody else serves then
            through = { "setpriv", "--reuid", "65534", "--clear-groups" }
            if process.run({ "setpriv", "--reuid", "65534", "--clear-groups", server.binary, "version" }, 10) ~= 0 then
                return pending("nobody else can be become here")
            end
        else
            os.execute(("chmod 0 '%s/closed.txt' '%s/box'"):format(folder, folder))
        end
        local s = server.start { command = { "serve", folder }, workers = 1, through = through }
        local c = s:connect()
        for target, status in pairs { ["/open.txt"] = 200, ["/closed.txt"] = 403, ["/box/in.txt"] = 403, ["/box/none"] = 403, ["/none"] = 404, ["/none/x"] = 404 } do
            assert.equal(status, c:get(target).status, target)
            assert.equal(status, c:head(target).status, target)
        end
        os.execute(("chmod 644 '%s/closed.txt'"):format(folder))
        local limit = process.now() + 2
        while c:get("/closed.txt").status ~= 200 and process.now() < limit do end
        assert.equal("closed", c:get("/closed.txt").body)
        s:stop()
        os.execute(("chmod 755 '%s/box'"):format(folder))
        process.remove_folder(folder)
    end)
end)
