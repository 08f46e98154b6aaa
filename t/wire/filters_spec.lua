--- Filters as a client meets them: layers around handlers, errors, streams, files and proxied answers.
local origin = require "t.support.origin"
local served = require("t.support.served").by
local server = require "t.support.server"

describe("filters", function()
    local ask, s = served [[
        local function layer(name)
            return function(req, next)
                req.state.order = (req.state.order or "") .. name
                local res = next(req)
                res.body = res.body .. name
                return res
            end
        end
        app:filter("/onion/*", layer "a")
        app:filter("/onion/*", layer "b")
        app:get("/onion/x", function(req) return req.state.order .. "|" end)
        app:filter("/onion/*", layer "c")

        app:filter("/early/*", function(req, next)
            if req.headers["x-key"] ~= "1" then return 401, "who are you?", { ["www-authenticate"] = "Basic" } end
            return next(req)
        end)
        app:get("/early/x", function(req) return "come in" end)

        app:filter("/change/*", function(req, next)
            local res = next(req)
            local seen = ("%s %s %s"):format(tostring(res.status), type(res.body), tostring(res.headers["x-was"]))
            res.status = 203
            res.headers["x-was"] = nil
            res.headers["x-seen"] = seen
            res.headers["X-Two"] = { "1", "2" }
            res:add_header("x-two", "3")
            res:set_cookie("taste", "sweet")
            return res
        end)
        app:get("/change/text", function(req) return 201, "text", { ["x-was"] = "here" } end)
        app:get("/change/table", function(req) return { a = 1 } end)
        app:get("/change/html", function(req) return mg.html("<p>", 202) end)
        app:get("/change/status", function(req) return 200 end)

        app:filter("/body/*", function(req, next)
            local res = next(req)
            if req.query.to == "table" then res.body = { was = res.body } end
            if req.query.to == "text" then res.body = "was " .. res.body.a end
            if req.query.to == "nothing" then res.body = nil end
            return res
        end)
        app:get("/body/text", function(req) return "text" end)
        app:get("/body/table", function(req) return { a = 1 } end)

        app:filter("/again/*", function(req, next)
            local res = next(req)
            if res.status == 503 then res = next(req) end
            return res
        end)
        local tries = 0
        app:get("/again/x", function(req) tries = tries + 1; if tries % 2 == 1 then return 503 end return "try " .. tries end)

        app:filter("/own/*", function(req, next) local res = next(req); return 202, "instead of " .. res.body end)
        app:get("/own/x", function(req) return "x" end)

        app:filter("/forgets/*", function(req, next) next(req) end)
        app:get("/forgets/x", function(req) return "x" end)
        app:filter("/twice/*", function(req, next) return next(req) end)
        app:filter("/twice/*", function(req, next) next(req) end)
        app:get("/twice/x", function(req) return "x" end)
        app:filter("/unknown/*", function(req, next) local res = next(req); local name = "bdoy" res[name] = "x"; return res end)
        app:get("/unknown/x", function(req) return "x" end)

        app:filter("/waits/*", function(req, next) mg.sleep(0.002); local res = next(req); mg.sleep(0.002); res.body = res.body .. " after"; return res end)
        app:get("/waits/x", function(req) mg.sleep(0.002); return "waited" end)

        app:filter("/bare/*", function(req, next) local res = next(req); res.headers["x-kept"] = "yes"; return res end)
        app:get("/bare/401", function(req) return 401, nil, { ["www-authenticate"] = "Basic" } end)
        app:get("/bare/204", function(req) return 204 end)
        app:get("/bare/nil", function(req) return nil, "no such thing", "not-found" end)
        app:get("/bare/redirect", function(req) return mg.redirect("/x") end)
        app:get("/bare/reason", function(req) return mg.respond { status = 299, reason = "Fine", body = "x", cookies = { a = "b" } } end)
    ]]

    it("lie around the handler like the layers of an onion, in the order written", function()
        assert.equal("abc|cba", ask("GET", "/onion/x").body)
    end)

    it("may answer before the handler does", function()
        local response = ask("GET", "/early/x")
        assert.equal(401, response.status)
        assert.equal("who are you?", response.body)
        assert.equal("Basic", response:get("www-authenticate"))
        assert.equal("come in", ask("GET", "/early/x", { ["x-key"] = "1" }).body)
    end)

    it("see and change status, fields and body of what a handler returned", function()
        local response = ask("GET", "/change/text")
        assert.equal(203, response.status)
        assert.equal("201 string here", response:get("x-seen"))
        assert.is_nil(response:get("x-was"))
        assert.same({ "1", "2", "3" }, response:all("x-two"))
        assert.matches("^taste=sweet;.*HttpOnly", response:get("set-cookie"))
        assert.equal("text", response.body)
        assert.equal("200 table nil", ask("GET", "/change/table"):get("x-seen"))
        local html = ask("GET", "/change/html")
        assert.equal("202 string nil", html:get("x-seen"))
        assert.equal("text/html; charset=utf-8", html:get("content-type"))
        assert.equal("200 boolean nil", ask("GET", "/change/status"):get("x-seen"))
    end)

    it("may put a body of another type in place", function()
        local response = ask("GET", "/body/text?to=table")
        assert.equal('{"was":"text"}', response.body)
        assert.equal("application/json", response:get("content-type"))
        assert.equal("was 1", ask("GET", "/body/table?to=text").body)
        local nothing = ask("GET", "/body/text?to=nothing")
        assert.equal(200, nothing.status)
        assert.equal("", nothing.body)
    end)

    it("may call the handler again, or answer instead of it", function()
        assert.equal("try 2", ask("GET", "/again/x").body)
        local response = ask("GET", "/own/x")
        assert.equal(202, response.status)
        assert.equal("instead of x", response.body)
    end)

    it("that return nothing are named in the log", function()
        assert.equal(500, ask("GET", "/forgets/x").status)
        s.server:wait_log("GET /forgets/x %(.-app%.lua:%d+%): the filter at .-app%.lua:%d+ returned nothing")
        assert.equal(500, ask("GET", "/twice/x").status)
        s.server:wait_log("GET /twice/x %(.-app%.lua:%d+%): the filter at .-app%.lua:%d+ returned nothing")
    end)

    it("that set what a response does not have are told so", function()
        assert.equal(500, ask("GET", "/unknown/x").status)
        s.server:wait_log('app%.lua:%d+: a response has status, body and headers; "bdoy" is none of them')
    end)

    it("may wait, before and after", function()
        assert.equal("waited after", ask("GET", "/waits/x").body)
    end)

    it("keep the fields of answers without a body", function()
        local response = ask("GET", "/bare/401")
        assert.equal(401, response.status)
        assert.equal("Basic", response:get("www-authenticate"))
        assert.equal("yes", response:get("x-kept"))
        assert.equal("yes", ask("GET", "/bare/204"):get("x-kept"))
        local redirect = ask("GET", "/bare/redirect")
        assert.equal(302, redirect.status)
        assert.equal("/x", redirect:get("location"))
        assert.equal("yes", redirect:get("x-kept"))
        local respond = ask("GET", "/bare/reason")
        assert.equal("Fine", respond.reason)
        assert.matches("^a=b;", respond:get("set-cookie"))
    end)

    it("see errors that are returned, and paths and methods that nothing has", function()
        local missing = ask("GET", "/bare/nothing")
        assert.equal(404, missing.status)
        assert.equal("yes", missing:get("x-kept"))
        assert.equal("404 Not Found: nothing is at this path\n", missing.body)
        local wrong = ask("POST", "/bare/204", nil, "")
        assert.equal(405, wrong.status)
        assert.equal("yes", wrong:get("x-kept"))
        assert.equal("GET, HEAD, OPTIONS", wrong:get("allow"))
        local returned = ask("GET", "/bare/nil")
        assert.equal(404, returned.status)
        assert.equal("yes", returned:get("x-kept"))
        assert.equal("404 Not Found: no such thing\n", returned.body)
        local options = ask("OPTIONS", "/bare/204")
        assert.equal(204, options.status)
        assert.equal("yes", options:get("x-kept"))
    end)
end)

describe("filters of a part", function()
    local function mark(name)
        return ([[function(req, next) local res = next(req); res:add_header("x-by", "%s"); return res end]]):format(name)
    end
    local text = ([[
        app:filter(ALL)
        app:group("/g", function(part)
            part:filter(GROUP)
            part:get("", function(req) return "group" end)
            part:get("/x", function(req) return "x" end)
            part:group("/deep", function(deep)
                deep:filter(DEEP)
                deep:get("/y", function(req) return "y" end)
            end)
        end)
        app:get("/gx", function(req) return "gx" end)
        app:host("one.test", function(part)
            part:filter(HOST)
            part:get("/", function(req) return "one" end)
        end)
        app:get("/", function(req) return "root" end)
        app:filter("/g/:id", PARAM)
        app:get("/:any/z", function(req) return "z" end)
        app:on_error("not-found", function(req, err) return 404, "nothing here" end)
    ]]):gsub("%u%u+", function(word)
        local names = { ALL = "all", GROUP = "group", DEEP = "deep", HOST = "host", PARAM = "param" }
        return names[word] and mark(names[word])
    end)
    local ask = served(text)

    local function by(target, fields) return table.concat(ask("GET", target, fields):all("x-by"), " ") end

    it("are around what lies below its prefix, and the prefix itself", function()
        assert.equal("group all", by("/g"))
        assert.equal("param group all", by("/g/x"))
        assert.equal("deep group all", by("/g/deep/y"))
        assert.equal("all", by("/gx"))
    end)

    it("are around what its host answers", function()
        assert.equal("host all", by("/", { Host = "one.test" }))
        assert.equal("all", by("/", { Host = "two.test" }))
    end)

    it("are around a broader route when the request lies inside", function()
        assert.equal("group all", by("/g/z"):gsub("param ", ""))
        assert.equal("all", by("/h/z"))
    end)

    it("are around what is not found there, and the error handler answers inside", function()
        local response = ask("GET", "/g/none/at/all")
        assert.equal(404, response.status)
        assert.equal("nothing here", response.body)
        assert.equal("group all", by("/g/none/at/all"))
        assert.equal("host all", by("/none", { Host = "one.test" }))
        assert.equal("all", by("/none"))
    end)
end)

describe("filters around answers that are not made in Lua", function()
    local s, o
    setup(function()
        o = origin.start(function(self)
            self:serve(function(request)
                return "HTTP/1.1 200 OK\r\nX-Origin: yes\r\nX-Replaced: by origin\r\nContent-Length: 4\r\n\r\n" .. request.target:sub(-4)
            end)
        end)
        local script = ([[
            local mg = require "moongate"
            local app = mg.app()
            app:filter(function(req, next)
                local res = next(req)
                if req.query.instead then res.body = "instead" return res end
                res.headers["x-filter"] = "yes"
                res.headers["x-replaced"] = "by filter"
                return res
            end)
            app:files("/files/*", "public")
            app:proxy("/p/*", "http://%s")
            app:redirect("/old", "/new", 308)
            app:get("/stream", function(req) return mg.stream(function(out) out:write("one ") mg.sleep(0.002) out:write("two") end, { status = 202, type = "text/x" }) end)
            app:get("/events", function(req) return mg.sse(function(events) events:send("hi") end) end)
            app:get("/file", function(req) return mg.file("public/a.txt", { headers = { ["x-own"] = "1" } }) end)
            app:get("/through", function(req) return mg.proxy("http://%s") end)
            return app]]):format(o.address, o.address)
        s = server.start { script = script, files = { ["public/a.txt"] = "text of a" } }
    end)
    teardown(function()
        origin.sweep()
        s:stop()
        server.sweep()
    end)

    local function check(target, status, body)
        local response = s:get(target)
        assert.equal(status, response.status)
        assert.equal(body, response.body)
        assert.equal("yes", response:get("x-filter"))
        return response
    end

    it("add to files", function()
        assert.equal("text/plain; charset=utf-8", check("/files/a.txt", 200, "text of a"):get("content-type"))
        check("/files/none.txt", 404, "404 Not Found: no such file\n")
        assert.equal("1", check("/file", 200, "text of a"):get("x-own"))
    end)

    it("add to proxied answers, and replace their fields", function()
        local response = check("/p/1234", 200, "1234")
        assert.equal("yes", response:get("x-origin"))
        assert.equal("by filter", response:get("x-replaced"))
        check("/through", 200, "ough")
    end)

    it("add to redirects and streams", function()
        assert.equal("/new", check("/old", 308, ""):get("location"))
        local response = check("/stream", 202, "one two")
        assert.equal("text/x", response:get("content-type"))
        assert.equal("chunked", response.framing)
        assert.equal("no-store", check("/events", 200, "data: hi\n\n"):get("cache-control"))
    end)

    it("may answer in their place", function()
        assert.equal("instead", s:get("/files/a.txt?instead=1").body)
        assert.equal("instead", s:get("/p/1234?instead=1").body)
        assert.equal("instead", s:get("/stream?instead=1").body)
    end)
end)
