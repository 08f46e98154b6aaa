--- Files that are not there yet when they are asked for: what was changed a moment ago is waited for, and much may happen meanwhile.
local process = require "t.support.process"
local server = require "t.support.server"

describe("a file that is waited for", function()
    local s, c
    setup(function()
        s = server.start {
            files = { ["public/keep"] = "kept" },
            script = [[
                local mg = require "moongate"
                local app = mg.app()
                local done = {}
                app:files("/*", "public")
                app:files("/when/*", "public", { when = function(req) return req.headers["x-when"] == "yes" end })
                app:group("/hooked", function(part) part:files("/*", "public") end)
                app:get("/done", function() local list = table.concat(done, " ") done = {} return list end)
                app:on_done(function(req) if req.path:find("^/hooked") then done[#done + 1] = req.path .. " " .. req.state.seen end end)
                app:filter("/hooked/*", function(req, next) req.state.seen = "seen" return next(req) end)
                app:on_error("not-found", function(req, err) return 404, ("%s %s"):format(req.path, req.state.seen or "-") end)
                return app]],
        }
    end)
    before_each(function() c = s:connect() end)
    teardown(function()
        s:stop()
        server.sweep()
    end)

    local count = 0
    --- A file that nobody has asked for, written just now.
    local function fresh(text)
        count = count + 1
        process.write_file(("%s/public/fresh%d"):format(s.folder, count), text)
        return "/fresh" .. count
    end

    it("comes within 20 ms", function()
        local best = 1
        for at = 1, 10 do
            local target, from = fresh("text " .. at), process.now()
            assert.equal("text " .. at, c:get(target).body)
            best = math.min(best, process.now() - from)
        end
        assert.is_true(best < 0.02, ("%g ms"):format(best * 1000))
    end)

    it("comes to all who asked", function()
        local target, clients = fresh("for all"), {}
        for at = 1, 20 do
            clients[at] = s:connect()
            clients[at]:send(("GET %s HTTP/1.1\r\nHost: a\r\n\r\n"):format(target))
        end
        for at = 1, 20 do assert.equal("for all", clients[at]:read().body) end
    end)

    it("is not missed by a client that leaves meanwhile, nor by the others", function()
        for _ = 1, 50 do
            local target, leaving = fresh("text"), s:connect()
            leaving:send(("GET %s HTTP/1.1\r\nHost: a\r\n\r\nGET /keep HTTP/1.1\r\nHost: a\r\n\r\n"):format(target))
            leaving:reset()
        end
        assert.equal("kept", c:get("/keep").body)
        assert.equal("text", c:get("/fresh" .. count).body)
    end)

    it("holds up what was asked for behind it, and nothing else", function()
        local target = fresh("first")
        c:send(("GET %s HTTP/1.1\r\nHost: a\r\n\r\nGET /keep HTTP/1.1\r\nHost: a\r\n\r\n"):format(target))
        assert.equal("kept", s:get("/keep").body)
        assert.equal("first", c:read().body)
        assert.equal("kept", c:read().body)
    end)

    it("has its hooks, its predicate and its error handler, with the request's state", function()
        local target = fresh("text")
        assert.equal("text", c:get("/when" .. target, { ["X-When"] = "yes" }).body)
        assert.equal("/when/none -", c:get("/when/none", { ["X-When"] = "yes" }).body)
        assert.equal("text", c:get("/hooked" .. fresh("text")).body)
        assert.equal("/hooked/none1 seen", c:get("/hooked/none1").body)
        assert.equal("/hooked/none1 seen", c:get("/hooked/none1").body)
        assert.equal(("/hooked/fresh%d seen /hooked/none1 seen /hooked/none1 seen"):format(count), c:get("/done").body)
    end)

    it("is answered as it was asked for, though the head has moved", function()
        local response = c:get(fresh("0123456789"), { Range = "bytes=2-4", ["If-None-Match"] = '"x"' })
        assert.same({ 206, "234" }, { response.status, response.body })
    end)

    it("is answered 503 when the gateway stops meanwhile, or as usual", function()
        local other = server.start { files = { ["public/a"] = "new" }, script = 'local app = require "moongate".app() app:files("/*", "public") return app' }
        local client = other:connect()
        process.write_file(other.folder .. "/public/a", "newer")
        client:send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
        other:signal(require "posix.signal".SIGTERM)
        local response = client:read()
        assert.is_true(response.status == 200 and response.body == "newer" or response.status == 503)
        other:wait_end()
    end)
end)

describe("a folder that outlives a reload", function()
    after_each(server.sweep)

    it("keeps what is cached, and one that is said otherwise does not", function()
        local script = [[
            local mg = require "moongate"
            local app = mg.app()
            app:files("/*", "public"%s)
            app:get("/watches", function()
                local n = 0
                for fd = 3, 200 do
                    local f = io.open("/proc/self/fdinfo/" .. fd)
                    local text = f and f:read("*a") or ""
                    if f then f:close() end
                    for _ in text:gmatch("inotify wd:") do n = n + 1 end
                end
                return tostring(n)
            end)
            return app]]
        local s = server.start { files = { ["public/sub/a"] = "text" }, script = script:format("") }
        local before = s:get("/watches").body
        assert.equal("text", s:get("/sub/a").body)
        local with = s:get("/watches").body
        assert.is_true(tonumber(with) > tonumber(before))
        process.write_file(s.file, script:format("") .. "\n-- changed")
        assert.equal(0, (server.run { "reload", "--name", s.name }))
        assert.equal(with, s:get("/watches").body) -- nobody has asked for the file again
        process.write_file(s.file, script:format(", { hidden = true }"))
        assert.equal(0, (server.run { "reload", "--name", s.name }))
        local limit = process.now() + 5
        while s:get("/watches").body ~= before and process.now() < limit do end
        assert.equal(before, s:get("/watches").body)
        assert.equal("text", s:get("/sub/a").body)
        s:stop()
    end)
end)
