--- The access log: a line for each answer, also for what is refused, in which nothing that a client sends can pass for something else.
local gate_site = require "t.support.gate_site"
local http_text = require "t.support.http_text"
local process = require "t.support.process"
local server = require "t.support.server"
local json = require "cjson"
local socket = require "socket"

after_each(server.sweep)

--- A server with its log in a file; `lines(n)` waits for n lines and gives them.
local function logged(format, routes)
    local folder = server.folder()
    local path = folder .. "/access.log"
    local s = gate_site.start(("log = { access = %q, format = %q }, limits = { head_time = '150ms', body = '1k' }"):format(path, format), routes)
    local function lines(count, of)
        local limit, list = process.now() + 5, nil
        repeat
            list = {}
            local file = io.open(of or path)
            for line in (file and file:read("*a") or ""):gmatch("([^\n]*)\n") do list[#list + 1] = line end
            if file then file:close() end
            if #list < count then require("socket").select(nil, nil, 0.005) end
        until #list >= count or process.now() > limit
        assert.equal(count, #list, table.concat(list, "\n"))
        return list
    end
    return s, lines, path
end

local COMBINED = '^127%.0%.0%.1 %- %- %[%d%d/%a%a%a/%d%d%d%d:%d%d:%d%d:%d%d [+-]%d%d%d%d%] "([^"]*)" (%d+) (%d+) "([^"]*)" "([^"]*)"$'

--- Asks for everything that an answer may be; returns what the log is to say of each: request line and status.
local function ask_all(s)
    local c = s:connect()
    c:pipeline { "/", { "HEAD", "/" }, "/nowhere", "/status/500", "/stream/3", "/empty/204", { "POST", "/echo", nil, "body" }, { "DELETE", "/n/1" },
        { "OPTIONS", "*" }, { "POST", "/echo", nil, ("b"):rep(1025) }, "/sleep/5" }
    c:close()
    c = s:connect()
    c:send("GET / HTTP/1.0\r\n\r\n")
    c:read()
    c = s:connect()
    c:send("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n")
    c:read()
    c = s:connect()
    c:send("GET / HTTP/1.1\r\n\r\n")
    c:read()
    c = s:connect()
    c:send("GET /drip")
    c:read()
    return { { "GET / HTTP/1.1", 200 }, { "HEAD / HTTP/1.1", 200 }, { "GET /nowhere HTTP/1.1", 404 }, { "GET /status/500 HTTP/1.1", 500 },
        { "GET /stream/3 HTTP/1.1", 200 }, { "GET /empty/204 HTTP/1.1", 204 }, { "POST /echo HTTP/1.1", 200 }, { "DELETE /n/1 HTTP/1.1", 405 },
        { "OPTIONS * HTTP/1.1", 204 }, { "POST /echo HTTP/1.1", 413 }, { "GET /sleep/5 HTTP/1.1", 200 }, { "GET / HTTP/1.0", 200 },
        { "CONNECT a:1 HTTP/1.1", 501 }, { "-", 400 }, { "-", 408 } }
end

local NASTY = { '"', '\\', '\\"', "\t", "'", "\128\255", "\195\164", '" 200 5 "-" "x', "\\n", "{}", "\"}\\" }

describe("the access log in combined form", function()
    it("has one line for each answer, refused ones, too", function()
        local s, lines = logged("combined")
        local expected = ask_all(s)
        local found = {}
        for at, line in ipairs(lines(#expected)) do
            local request, status = line:match(COMBINED)
            assert.truthy(request, line)
            found[at] = request .. " " .. status
        end
        local wanted = {}
        for at, row in ipairs(expected) do wanted[at] = row[1] .. " " .. row[2] end
        table.sort(found) -- a line is written when its answer ends
        table.sort(wanted)
        assert.same(wanted, found)
        s:stop()
    end)

    it("escapes what a client sends: quotes, backslashes, controls and bytes beyond ASCII", function()
        local s, lines = logged("combined")
        local c = s:connect()
        for _, text in ipairs(NASTY) do c:get("/n/1", { referer = "r" .. text .. "r", ["user-agent"] = "a" .. text .. "a" }) end
        c:get('/n/"quoted"\\')
        local list = lines(#NASTY + 1)
        for at, text in ipairs(NASTY) do
            local _, _, _, referer, agent = list[at]:match(COMBINED)
            local escaped = text:gsub('[%c"\\\127-\255]', function(byte) return ("\\x%02X"):format(byte:byte()) end)
            assert.equal("r" .. escaped .. "r", referer)
            assert.equal("a" .. escaped .. "a", agent)
        end
        assert.equal([[GET /n/\x22quoted\x22\x5C HTTP/1.1]], (list[#list]:match(COMBINED)))
        s:stop()
    end)

    it("cuts values that are long, and stays one line", function()
        local s, lines = logged("combined")
        local c = s:connect()
        c:get("/n/" .. ("t"):rep(8000), { referer = ("\1"):rep(0) .. ("\195"):rep(3000), ["user-agent"] = ("u"):rep(4000) })
        local request, status, _, referer, agent = lines(1)[1]:match(COMBINED)
        assert.equal("200", status)
        assert.is_true(#request < 1100 and #referer <= 4096 and #agent <= 1024)
        s:stop()
    end)

    it("says - where a client says nothing", function()
        local s, lines = logged("combined")
        s:get("/")
        local _, _, bytes, referer, agent = lines(1)[1]:match(COMBINED)
        assert.equal("-", referer)
        assert.equal("-", agent)
        assert.equal("5", bytes)
        s:stop()
    end)
end)

describe("the access log in JSON", function()
    it("has one object for each answer, refused ones, too", function()
        local s, lines = logged("json")
        local expected = ask_all(s)
        local statuses, wanted = {}, {}
        for at, line in ipairs(lines(#expected)) do
            local row = json.decode(line)
            assert.equal("127.0.0.1", row.remote)
            assert.is_true(math.abs(row.time - os.time()) < 60)
            assert.is_true(row.ms >= 0 and row.ms < 10000)
            assert.is_true(row.bytes >= 0)
            statuses[at] = row.status
        end
        for at, row in ipairs(expected) do wanted[at] = row[2] end
        table.sort(statuses)
        table.sort(wanted)
        assert.same(wanted, statuses)
        s:stop()
    end)

    it("is valid whatever a client sends", function()
        local s, lines = logged("json")
        local c = s:connect()
        for _, text in ipairs(NASTY) do c:get("/n/1?" .. (text:find("[%s\128-\255]") and "" or text), { referer = "r" .. text .. "r", ["user-agent"] = text }) end
        local list = lines(#NASTY)
        for at, text in ipairs(NASTY) do
            local row = json.decode(list[at])
            assert.falsy(list[at]:find("[%c\127-\255]"), list[at])
            assert.equal(200, row.status)
            assert.equal("GET", row.method)
            assert.equal("test", row.host)
            if not text:find("[\128-\255]") then
                assert.equal("r" .. text .. "r", row.referer)
                assert.equal(text:match("^%s*(.-)%s*$"), row.agent)
            end
        end
        s:stop()
    end)

    it("tells how long a request took", function()
        local s, lines = logged("json")
        s:get("/sleep/60")
        local ms = json.decode(lines(1)[1]).ms
        assert.is_true(ms >= 59 and ms < 1000, tostring(ms))
        s:stop()
    end)
end)

describe("the bytes of a line", function()
    it("are those of the content, with the framing of chunks", function()
        local s, lines = logged("json")
        local c = s:connect()
        c:pipeline { "/big/1000", { "HEAD", "/big/1000" }, "/empty/204", "/stream/1", "/big/100000" }
        local counts = {}
        for at, line in ipairs(lines(5)) do counts[at] = json.decode(line).bytes end
        assert.same({ 1000, 0, 0, #"8\r\npiece 1;\r\n0\r\n\r\n", 100000 }, { counts[1], counts[2], counts[3], counts[5] < counts[4] and counts[5] or counts[4],
            math.max(counts[4], counts[5]) })
        s:stop()
    end)
end)

describe("a client that leaves", function()
    it("is named by its address still, when its handler answers later", function()
        local s, lines = logged("combined")
        local c = s:connect()
        c:send(http_text.request("GET", "/sleep/100"))
        c:expect_silence(0.03)
        c:reset()
        assert.matches("^127%.0%.0%.1 ", lines(1)[1])
        s:stop()
    end)

    it("while a file is on its way, or an upstream has not answered, is in the log", function()
        local folder = server.folder { ["large.bin"] = ("l"):rep(30000000) }
        local silent = assert(socket.bind("127.0.0.1", 0))
        local _, port = silent:getsockname()
        local s, lines = logged("json", ('app:files("/files/*", %q)\napp:proxy("/up/*", "http://127.0.0.1:%d")'):format(folder, port))
        local c = s:connect()
        c:send(http_text.request("GET", "/files/large.bin"))
        assert.equal(200, c:read_head().status)
        c:reset()
        assert.equal(200, json.decode(lines(1)[1]).status)
        c = s:connect()
        c:send(http_text.request("GET", "/up/x"))
        silent:settimeout(5)
        local taken = assert(silent:accept())
        c:reset()
        assert.equal(499, json.decode(lines(2)[2]).status)
        taken:close()
        silent:close()
        s:stop()
    end)
end)

describe("an access log that cannot be written", function()
    it("is told of once in the error log, and its lines are counted", function()
        local s = gate_site.start('log = { access = "/dev/full" }')
        for _ = 1, 10 do assert.equal("hello", s:get("/").body) end
        s:wait_log("log%.access: cannot be written: No space left on device")
        local _, count = s:log():gsub("cannot be written", "")
        assert.equal(1, count)
        local limit, dropped = process.now() + 5, nil
        repeat
            local _, text = server.run { "status", "--name", s.name, "--json" }
            dropped = tonumber(text:match('"log_dropped":(%d+)'))
        until dropped == 10 or process.now() > limit
        assert.equal(10, dropped)
        s:stop()
    end)
end)

describe("the access log", function()
    it("is off by default", function()
        local s = gate_site.start()
        s:get("/")
        s:stop()
        assert.falsy(s:log():find("GET", 1, true))
    end)

    it("goes to standard error as -", function()
        local s = gate_site.start("log = { access = '-' }")
        s:get("/n/77")
        s:wait_log('"GET /n/77 HTTP/1%.1" 200')
        s:stop()
    end)

    it("is opened anew at SIGUSR1; no line is lost", function()
        local s, lines, path = logged("combined")
        local c = s:connect()
        for n = 1, 50 do c:get("/n/" .. n) end
        lines(50)
        assert.truthy(os.rename(path, path .. ".1"))
        s:signal(require("posix.signal").SIGUSR1)
        local limit, opened = process.now() + 5, nil
        repeat
            opened = io.open(path)
        until opened or process.now() > limit
        assert.truthy(opened)
        opened:close()
        -- The worker hears of it a moment later; whichever file a line goes to, it is there.
        for n = 51, 100 do c:get("/n/" .. n) end
        repeat
            local old, new = process.read_file(path .. ".1"), process.read_file(path)
            local _, count = (old .. new):gsub("\n", "")
        until count == 100 and #new > 0 or process.now() > limit
        for n = 101, 110 do c:get("/n/" .. n) end
        repeat until select(2, (process.read_file(path .. ".1") .. process.read_file(path)):gsub("\n", "")) >= 110 or process.now() > limit
        local all = process.read_file(path .. ".1") .. process.read_file(path)
        for n = 1, 110 do assert.truthy(all:find(("GET /n/%d HTTP"):format(n), 1, true), n) end
        assert.truthy(process.read_file(path):find("GET /n/110 HTTP", 1, true))
        s:stop()
    end)

    it("has all lines when the server stops", function()
        local s, lines = logged("json")
        local c = s:connect()
        for _ = 1, 20 do c:pipeline { "/n/1", "/n/2", "/n/3", "/n/4", "/n/5" } end
        c:close()
        s:stop()
        lines(100)
    end)
end)
