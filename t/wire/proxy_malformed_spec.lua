--- Answers of an upstream that are none, or that try to be two: 502 or a cut, the cause in the log, and nothing of them for anybody else.
local origin = require "t.support.origin"
local server = require "t.support.server"

local SMUGGLED = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL"

--- Heads that must not get through: 502.
local HEADS = {
    ["CL and TE"] = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ["TE and CL"] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n",
    ["two lengths"] = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
    ["a list of lengths"] = "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\na",
    ["a negative length"] = "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    ["a hexadecimal length"] = "HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello",
    ["a length beyond all numbers"] = "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
    ["another coding"] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ["two codings"] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ["a coding in HTTP/1.0"] = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ["a folded line"] = "HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    ["a NUL"] = "HTTP/1.1 200 OK\r\nX-A: b\0c\r\nContent-Length: 0\r\n\r\n",
    ["a bare CR"] = "HTTP/1.1 200 OK\r\nX-A: b\rX-B: c\r\nContent-Length: 0\r\n\r\n",
    ["bare LFs"] = "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    ["a space before the colon"] = "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
    ["a line without a name"] = "HTTP/1.1 200 OK\r\n: a\r\nContent-Length: 0\r\n\r\n",
    ["no version"] = "200 OK\r\nContent-Length: 0\r\n\r\n",
    ["another version"] = "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    ["a status of two digits"] = "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    ["a status of four digits"] = "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
    ["a status below all"] = "HTTP/1.1 099 What\r\nContent-Length: 0\r\n\r\n",
    ["another protocol"] = "SSH-2.0-OpenSSH_9.2\r\n\r\n",
    ["101 without being asked"] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ["1xx without an end"] = ("HTTP/1.1 103 Early Hints\r\n\r\n"):rep(9) .. "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ["a head without an end"] = "HTTP/1.1 200 OK\r\nX-Long: " .. ("x"):rep(20000),
}

--- Content that must not end well: the client can tell.
local CONTENT = {
    ["a size that is none"] = "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\nxyz\r\n",
    ["a negative size"] = "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n-1\r\n",
    ["a size beyond all numbers"] = "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\nfffffffffffffffff\r\n",
    ["a space in the size"] = "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n 2\r\n",
    ["a chunk that does not end"] = "Transfer-Encoding: chunked\r\n\r\n2\r\nokXX0\r\n\r\n",
    ["bare LFs in chunks"] = "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n2\nno\n",
    ["a length in the trailers"] = "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nContent-Length: 1\r\n\r\n",
}

describe("an upstream's answer", function()
    local s, o
    setup(function()
        o = origin.start(function(self)
            self:serve(function(request, _, client)
                local kind, at = request.target:match("^/(%a+)/(%d+)$")
                if kind == "good" then return "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood" end
                local list = kind == "head" and HEADS or CONTENT
                local names = {}
                for name in pairs(list) do names[#names + 1] = name end
                table.sort(names)
                if kind == "extra" then
                    client:send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" .. SMUGGLED)
                else
                    client:send((kind == "content" and "HTTP/1.1 200 OK\r\n" or "") .. list[names[tonumber(at)]] .. SMUGGLED)
                end
                client:expect_close(true)
                return nil
            end)
        end)
        s = server.start { script = ([[
            local app = require "moongate".app()
            app:proxy("/*", "http://%s", { retry = false })
            return app]]):format(o.address) }
    end)
    teardown(function()
        server.sweep()
        origin.sweep()
    end)

    local function names_of(list)
        local names = {}
        for name in pairs(list) do names[#names + 1] = name end
        table.sort(names)
        return names
    end

    local function is_sound()
        for _ = 1, 2 do
            local response = s:get("/good/1")
            assert.same({ 200, "good" }, { response.status, response.body })
        end
    end

    for at, name in ipairs(names_of(HEADS)) do
        it("with " .. name .. " is 502, and the next one is another's", function()
            local response = s:get("/head/" .. at)
            assert.equal(502, response.status)
            assert.is_nil(response.body:find("EVIL", 1, true))
            is_sound()
        end)
    end

    for at, name in ipairs(names_of(CONTENT)) do
        it("with " .. name .. " is cut so that the client can tell", function()
            local c = s:connect()
            c:send("GET /content/" .. at .. " HTTP/1.1\r\nHost: a\r\n\r\n")
            assert.equal(200, c:read_head().status)
            local rest = c:read_to_end()
            assert.is_nil(rest:find("EVIL", 1, true))
            assert.not_equal("0\r\n\r\n", rest:sub(-5))
            is_sound()
        end)
    end

    it("ends where its length says, and what comes behind it is nobody's", function()
        for _ = 1, 3 do
            local response = s:get("/extra/1")
            assert.same({ 200, "ok" }, { response.status, response.body })
            is_sound()
        end
    end)

    it("has its cause in the log", function()
        s:wait_log('upstream "[%d.:]+": [%d.:]+: malformed response head: %w[^\n]*')
        s:wait_log('upstream "[%d.:]+": [%d.:]+: malformed chunks in the response')
    end)
end)
