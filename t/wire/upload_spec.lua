--- Bodies of requests in the hands of scripts: whole, in pieces, into files; sizes from nothing to 1 GiB; limits from both sides.
local http_text = require "t.support.http_text"
local process = require "t.support.process"
local served = require("t.support.served").by

local function memory_kib(pid, name)
    return tonumber(process.read_file(("/proc/%d/status"):format(pid)):match(name .. ":%s*(%d+)"))
end

describe("a body", function()
    local ask, s = served [[
        local function failed(message, status) return status or 500, "failed: " .. tostring(message) end
        app:post("/text", { body = "2m" }, function(req) local text, message, status = req:text() if not text then return failed(message, status) end return text end)
        app:post("/twice", function(req) return req:text() .. req:text() end)
        app:post("/limited", function(req) local text, message, status = req:text("1k") if not text then return failed(message, status) end return "read" end)
        app:post("/misuse/limit", function(req) local text = req:text("many") return text end)
        app:post("/misuse/tail", function(req) return req:text("many") end)
        app:post("/json", function(req) local value, message, status = req:json() if value == nil then return failed(message, status) end return { got = value } end)
        app:post("/chunks", { body = "2g" }, function(req)
            local count, bytes, ok = 0, 0, true
            for piece in req:chunks() do
                count, bytes = count + 1, bytes + #piece
                ok = ok and piece == ("x"):rep(#piece)
            end
            return { bytes = bytes, ok = ok, several = count > 1 }
        end)
        app:post("/slow", { body = "200m" }, function(req)
            local first = true
            local bytes = 0
            for piece in req:chunks() do
                if first then mg.sleep(0.3) first = false end
                bytes = bytes + #piece
            end
            return tostring(bytes)
        end)
        app:post("/hand", { body = 8 }, function(req)
            local next = req:chunks()
            local piece, message, status = next()
            while piece do piece, message, status = next() end
            return tostring(message) .. " " .. tostring(status)
        end)
        app:post("/raises", { body = 8 }, function(req) for piece in req:chunks() do end return "whole" end)
        app:post("/again", function(req) for _ in req:chunks() do end local text = req:text() return text end)
        app:post("/save", { body = "2g" }, function(req)
            local bytes, message, status = req:save((debug.getinfo(1, "S").source:match("^@(.*)/") .. "/saved"))
            if not bytes then return failed(message, type(status) == "number" and status > 0 and status or 500) end
            return tostring(bytes)
        end)
        app:post("/save/nowhere", function(req) local ok, message, code = req:save("/no/such/folder/file") return tostring(ok) .. " " .. message .. " " .. code end)
        app:post("/unread", { body = "10m" }, function(req) return "not interested" end)
        app:post("/filter/x", function(req) return req:text() end)
        app:filter("/filter/*", function(req, next) if req:text() == "" then return 400, "empty" end return next(req) end)
        app:post("/stream", { body = "10m" }, function(req)
            local pieces = req:chunks()
            return mg.stream(function(out) for piece in pieces do out:write(piece) end end)
        end)
        app:post("/default", function(req) return tostring(#req:text()) end)
        app:get("/get", function(req) return "[" .. req:text() .. "]" end)
        app:post("/all", function(req)
            local text = mg.all(function() return req:text() end)
            return text
        end)
    ]]
    local folder
    setup(function() folder = s.server.folder end)

    local function post(target, body, fields) return ask("POST", target, fields, body) end

    it("of every size comes whole, with a length and in chunks, and in odd pieces", function()
        local c = s.server:connect()
        for _, size in ipairs { 0, 1, 1023, 1024, 4095, 4096, 4097, 8192, 65535, 65536, 65537, 1048576, 2097152 } do
            local body = ("0123456789abcdef"):rep(math.ceil(size / 16)):sub(1, size)
            assert.is_true(c:post("/text", body).body == body, size .. " bytes")
            local pieces = {}
            for at = 1, size, 10007 do pieces[#pieces + 1] = body:sub(at, at + 10006) end
            local chunked = c:request("POST", "/text", { ["Transfer-Encoding"] = "chunked" }, http_text.chunked(unpack(pieces)))
            assert.is_true(chunked.body == body, size .. " bytes in chunks")
        end
        c:send_pieces("POST /text HTTP/1.1\r\nHost: a\r\nContent-Length: 26\r\n\r\nabcdefghijklmnopqrstuvwxyz")
        assert.equal("abcdefghijklmnopqrstuvwxyz", c:read().body)
        c:send_pieces("POST /text HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" .. http_text.chunked("abc", "de", "f"))
        assert.equal("abcdef", c:read().body)
    end)

    it("is there again when it is asked for again, and taken once in pieces", function()
        assert.equal("abcabc", post("/twice", "abc").body)
        assert.equal(500, post("/again", "abc").status)
        s.server:wait_log("app%.lua:%d+: req:text%(%): the content was taken by req:chunks%(%) already")
        assert.equal("abc", post("/filter/x", "abc").body)
        assert.equal("empty", post("/filter/x", "").body)
        assert.equal("abc", post("/all", "abc").body)
        assert.equal("[]", ask("GET", "/get").body)
    end)

    it("may be JSON, or be told why it is not", function()
        assert.equal('{"got":{"a":[1,2]}}', post("/json", '{"a":[1,2]}').body)
        assert.equal(400, post("/json", "{").status)
        assert.matches("^failed: ", post("/json", "{").body)
        assert.equal(400, post("/json", "").status)
    end)

    it("goes back as it comes", function()
        local body = ("0123456789"):rep(300000)
        assert.is_true(post("/stream", body).body == body)
    end)

    it("beyond its limit is 413 before it is read, or as soon as it is seen", function()
        assert.equal(200, post("/text", ("x"):rep(2097152)).status)
        local c = s.server:connect()
        c:send("POST /text HTTP/1.1\r\nHost: a\r\nContent-Length: 2097153\r\n\r\n")
        assert.equal(413, c:read().status)
        local d = s.server:connect()
        d:send("POST /text HTTP/1.1\r\nHost: a\r\nContent-Length: 2097153\r\nExpect: 100-continue\r\n\r\n")
        assert.equal(413, d:read().status)
        assert.equal("1048576", post("/default", ("x"):rep(1048576)).body)
        assert.equal(413, post("/default", ("x"):rep(1048577)).status)
        assert.equal("nil nil", post("/hand", "12345678").body)
        local chunked = { ["Transfer-Encoding"] = "chunked" }
        assert.equal("nil nil", post("/hand", http_text.chunked("1234", "5678"), chunked).body)
        assert.equal("the content is too long 413", post("/hand", http_text.chunked("1234", "56789"), chunked).body)
        assert.equal(413, post("/raises", http_text.chunked("1234", "56789"), chunked).status)
        assert.equal("whole", post("/raises", http_text.chunked("1234", "5678"), chunked).body)
    end)

    it("may have a lower limit of the handler's own", function()
        assert.equal("read", post("/limited", ("x"):rep(1024)).body)
        assert.equal(413, post("/limited", ("x"):rep(1025)).status)
        assert.equal(413, post("/limited", http_text.chunked(("x"):rep(1025)), { ["Transfer-Encoding"] = "chunked" }).status)
        assert.equal(500, post("/misuse/limit", "x").status)
        s.server:wait_log("app%.lua:%d+: req:text: ")
        assert.equal(500, post("/misuse/tail", "x").status) -- its line is gone; the route's is not
        s.server:wait_log("/misuse/tail %(.-app%.lua:%d+%): req:text: ")
    end)

    it("that is malformed, or breaks off, is told", function()
        local c = s.server:connect()
        c:send("POST /text HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n")
        local response = c:read()
        assert.equal(400, response.status)
        assert.equal("failed: the content is malformed", response.body)
        c:expect_close()
        local d = s.server:connect()
        d:send("POST /text HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc"):shutdown()
        assert.equal("failed: the client left before its content was whole", d:read().body)
    end)

    it("that nobody reads is dropped when it is little, else the connection ends", function()
        local c = s.server:connect()
        assert.equal("not interested", c:post("/unread", ("x"):rep(1000)).body)
        assert.equal("not interested", c:post("/unread", ("x"):rep(200000)).body)
        assert.equal("abc", c:post("/text", "abc").body)
        c:send("POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n")
        local response = c:read()
        assert.equal("close", response:get("connection"))
        c:expect_close(true)
    end)

    it("goes into a file, which appears when it is whole", function()
        local path = folder .. "/saved"
        assert.equal("1000000", post("/save", ("x"):rep(1000000)).body)
        assert.equal(1000000, #process.read_file(path))
        assert.equal("0", post("/save", "").body)
        assert.equal("", process.read_file(path))
        os.remove(path)
        local c = s.server:connect()
        c:send("POST /save HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n")
        assert.equal(400, c:read().status)
        assert.is_nil(io.open(path))
        local listing = io.popen("ls " .. folder)
        assert.is_nil(listing:read("*a"):find("saved", 1, true))
        listing:close()
        assert.matches("^nil /no/such/folder/file: no such file %-2$", post("/save/nowhere", "x").body)
    end)

    it("waits at the client while its reader is slow", function()
        local pid = s.server:workers()[1]
        local before = memory_kib(pid, "VmHWM")
        local c = s.server:connect()
        c:send("POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
        local sent = c:send_until_full(("x"):rep(100000000), 0.1)
        assert.is_true(sent < 50000000, sent .. " bytes were taken")
        c:send(("x"):rep(100000000 - sent))
        assert.equal("100000000", c:read().body)
        assert.is_true(memory_kib(pid, "VmHWM") - before < 16384)
    end)

    it("of 1 GiB passes through the same handler, with the worker's memory flat", function()
        local pid = s.server:workers()[1]
        post("/chunks", ("x"):rep(10000000))
        local before = memory_kib(pid, "VmHWM")
        local c = s.server:connect { seconds = 120 }
        local piece = ("x"):rep(1048576)
        c:send("POST /chunks HTTP/1.1\r\nHost: a\r\nContent-Length: 1073741824\r\n\r\n")
        for _ = 1, 1024 do c:send(piece) end
        local seen = require("cjson").decode(c:read().body)
        assert.same({ bytes = 1073741824, ok = true, several = true }, seen)
        assert.is_true(memory_kib(pid, "VmHWM") - before < 16384, "more than 16 MiB of growth")
        assert.same({ bytes = 1, ok = true, several = false }, require("cjson").decode(post("/chunks", "x").body))
    end)
end)
