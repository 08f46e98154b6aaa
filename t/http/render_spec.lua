local ffi = require "ffi"
local c = require "t.support.c"
c.header("http/render.h")
local lib = c.lib()
local C = ffi.C

local NOW, DATE = 784111777, "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
local anchors -- what the structs of the running test point to

local function slice(text)
    local bytes = ffi.new("char[?]", #text + 1)
    ffi.copy(bytes, text, #text)
    anchors[#anchors + 1] = bytes
    return { bytes, #text }
end

local function common(server, tick)
    local lines = ffi.new("struct http_common")
    assert.equal(0, lib.http_common_init(lines, server or "", #(server or "")))
    if tick ~= false then lib.http_common_tick(lines, NOW) end
    return lines
end

--- `fields`: { { name, value } … }, numbered as a script's would be.
local function reply(values, fields)
    local r = ffi.new("struct http_reply")
    r.status, r.minor = 200, 1
    for key, value in pairs(values or {}) do r[key] = type(value) == "string" and slice(value) or value end
    local next_field
    for i = #(fields or {}), 1, -1 do
        local field = ffi.new("struct http_out_field")
        field.name, field.value, field.next = slice(fields[i][1]), slice(fields[i][2]), next_field
        field.id = lib.http_field_number(fields[i][1], #fields[i][1])
        anchors[#anchors + 1] = field
        next_field = field
    end
    r.fields = next_field
    return r
end

local function render(values, fields, lines)
    lines = lines or common()
    local r = reply(values, fields)
    local bound = lib.http_render_bound(r, lines)
    local out = ffi.new("char[?]", bound + 64)
    ffi.fill(out, bound + 64, 0x55)
    local n = lib.http_render_head(out, r, lines)
    assert.is_true(n <= bound)
    for i = bound, bound + 63 do assert.equal(0x55, out[i]) end
    return ffi.string(out, n)
end

local function count(text, name)
    local found = 0
    for line in text:gmatch("[^\r\n]+") do
        if line:lower():match("^([^:]+):") == name then found = found + 1 end
    end
    return found
end

before_each(function() anchors = {} end)

local rows = {}
for line in io.lines(c.root .. "/src/http/status.tbl.h") do
    local status, phrase = line:match '^X%((%d+), "(.*)"%)$'
    if status then rows[tonumber(status)] = phrase end
end

describe("a head", function()
    it("is status, common lines, type and length", function()
        assert.equal("HTTP/1.1 200 OK\r\nServer: moongate\r\n" .. DATE .. "Content-Type: text/plain; charset=utf-8\r\nContent-Length: 13\r\n\r\n",
            render({ content_type = "text/plain; charset=utf-8", length = 13 }, nil, common "moongate"))
    end)
    it("has no more than Date and framing when nothing else is said", function()
        assert.equal("HTTP/1.1 200 OK\r\n" .. DATE .. "Content-Length: 0\r\n\r\n", render())
    end)
    it("has every status of the table, and the version 1.1 also for 1.0 clients", function()
        local found = 0
        for status = 100, 999 do
            local text = render { status = status, minor = status % 2, framing = C.FRAMING_NONE }
            assert.equal(("HTTP/1.1 %d %s\r\n"):format(status, rows[status] or "Unknown"), text:match "^.-\r\n")
            found = found + (rows[status] and 1 or 0)
        end
        assert.equal(63, found)
    end)
    it("says the reason that it was given", function()
        for _, status in ipairs { 200, 404, 599, 999 } do
            for _, reason in ipairs { "x", "Enhance Your Calm", ("long "):rep(100) } do
                assert.equal(("HTTP/1.1 %d %s\r\n"):format(status, reason), render({ status = status, reason = reason }):match "^.-\r\n")
            end
        end
    end)
    it("fits its bound when every line is the longest", function()
        local text = render({ status = 511, content_type = "a", length = 0x7fffffffffffffffLL, close = 1 }, { { "upgrade", "x" } }, common(("s"):rep(96)))
        assert.truthy(text:find("\r\nConnection: close, upgrade\r\n\r\n$"))
        for size = 1, 96 do render({ framing = C.FRAMING_NONE }, nil, common(("s"):rep(size))) end
    end)
    it("has types of any size", function()
        for n = 1, 200 do
            local value = ("abcdefghij"):rep(20):sub(1, n)
            assert.equal("HTTP/1.1 200 OK\r\n" .. DATE .. "Content-Type: " .. value .. "\r\nContent-Length: 0\r\n\r\n", render { content_type = value })
        end
    end)
    it("has fields of any size, in their order", function()
        for n = 0, 100 do
            local text = ("0123456789"):rep(10):sub(1, n)
            assert.equal("HTTP/1.1 200 OK\r\n" .. DATE .. "Content-Length: 0\r\nx" .. text .. ": " .. text .. "\r\nB: c\r\nx: \r\nB: d\r\n\r\n",
                render({}, { { "x" .. text, text }, { "B", "c" }, { "x", "" }, { "B", "d" } }))
        end
    end)
end)

describe("the length", function()
    local function length(value) return render({ length = value }):match "\r\nContent%-Length: (%d+)\r\n\r\n$" end
    it("is written in full around every power of ten", function()
        local power = 1LL
        for _ = 1, 19 do
            for step = -1, 1 do
                local value = power + step
                assert.equal((tostring(value):gsub("LL", "")), length(value))
            end
            power = power * 10
        end
        assert.equal("9223372036854775807", length(0x7fffffffffffffffLL))
    end)
    it("is written in full from 0 to 1100 and at powers of two", function()
        for value = 0, 1100 do assert.equal(tostring(value), length(value)) end
        for bit = 0, 62 do
            local value = 2LL ^ bit
            assert.equal((tostring(value):gsub("LL", "")), length(value))
        end
    end)
end)

describe("the framing", function()
    it("is one field, or none", function()
        assert.equal("HTTP/1.1 200 OK\r\n" .. DATE .. "Transfer-Encoding: chunked\r\n\r\n", render { framing = C.FRAMING_CHUNKED, length = 5 })
        assert.equal("HTTP/1.1 200 OK\r\n" .. DATE .. "Connection: close\r\n\r\n", render { framing = C.FRAMING_CLOSE, close = 1, minor = 0 })
        assert.equal("HTTP/1.1 304 Not Modified\r\n" .. DATE .. "\r\n", render { status = 304, framing = C.FRAMING_NONE })
        assert.equal("HTTP/1.1 304 Not Modified\r\n" .. DATE .. "Content-Length: 7\r\n\r\n", render { status = 304, length = 7 })
    end)
    it("ends the connection when nothing else ends the content", function()
        assert.truthy(render({ framing = C.FRAMING_CLOSE, close = 0 }):find("\r\nConnection: close\r\n", 1, true))
        assert.truthy(render({ framing = C.FRAMING_CLOSE, close = 0, minor = 0 }):find("\r\nConnection: close\r\n", 1, true))
    end)
    it("is never in 1xx and 204, whatever was asked", function()
        for _, status in ipairs { 100, 101, 103, 199, 204 } do
            for _, framing in ipairs { C.FRAMING_LENGTH, C.FRAMING_CHUNKED, C.FRAMING_NONE } do
                local text = render { status = status, framing = framing, length = 9 }
                assert.equal(0, count(text, "content-length") + count(text, "transfer-encoding"))
            end
        end
        assert.equal(1, count(render { status = 205 }, "content-length"))
        assert.equal(1, count(render { status = 200 }, "content-length"))
    end)
    it("cannot be taken from the list", function()
        local list = { { "Content-Length", "99" }, { "TRANSFER-ENCODING", "chunked" }, { "connection", "keep-alive" },
            { "Keep-Alive", "timeout=5" }, { "X-Ok", "1" } }
        assert.equal("HTTP/1.1 200 OK\r\n" .. DATE .. "Content-Length: 3\r\nX-Ok: 1\r\n\r\n", render({ length = 3 }, list))
    end)
end)

describe("the connection", function()
    for _, case in ipairs { { 1, 0, nil }, { 1, 1, "close" }, { 0, 0, "keep-alive" }, { 0, 1, "close" } } do
        it(("of HTTP/1.%d with close = %d says %s"):format(case[1], case[2], tostring(case[3])), function()
            local text = render { minor = case[1], close = case[2] }
            assert.equal(case[3], text:match "\r\nConnection: ([^\r]+)\r\n")
            assert.equal(case[3] and 1 or 0, count(text, "connection"))
        end)
    end
    it("names Upgrade when the list has it", function()
        local list = { { "Upgrade", "websocket" }, { "Connection", "Upgrade" } }
        assert.equal("HTTP/1.1 101 Switching Protocols\r\n" .. DATE .. "Upgrade: websocket\r\nConnection: upgrade\r\n\r\n",
            render({ status = 101, close = 1, framing = C.FRAMING_NONE }, list))
        assert.equal("HTTP/1.1 426 Upgrade Required\r\n" .. DATE .. "Content-Length: 0\r\nUpgrade: websocket\r\nConnection: close, upgrade\r\n\r\n",
            render({ status = 426, close = 1 }, list))
        assert.equal(1, count(render({ minor = 0 }, list), "connection"))
        assert.truthy(render({ minor = 0 }, list):find("\r\nConnection: keep-alive\r\n", 1, true))
    end)
end)

describe("the common lines", function()
    it("give way to the list's own Date or Server, each alone", function()
        local list = { { "date", "d" }, { "SERVER", "s" } }
        local lines = common "moongate"
        local function lines_of(own_date, own_server, server)
            local text = render({ own_date = own_date, own_server = own_server }, list, server or lines)
            return text:match "^HTTP/1.1 200 OK\r\n(.*)Content%-Length: 0\r\n", text:match "Content%-Length: 0\r\n(.*)\r\n$"
        end
        assert.same({ "Server: moongate\r\n" .. DATE, "" }, { lines_of(0, 0) })
        assert.same({ "Server: moongate\r\n", "date: d\r\n" }, { lines_of(1, 0) })
        assert.same({ DATE, "SERVER: s\r\n" }, { lines_of(0, 1) })
        assert.same({ "", "date: d\r\nSERVER: s\r\n" }, { lines_of(1, 1) })
        assert.same({ DATE, "SERVER: s\r\n" }, { lines_of(0, 0, common()) })
        assert.same({ DATE, "SERVER: s\r\n" }, { lines_of(0, 1, common()) })
        assert.same({ "", "date: d\r\nSERVER: s\r\n" }, { lines_of(1, 0, common()) })
    end)
    it("keep the reply's type, not the list's", function()
        local text = render({ content_type = "a/b" }, { { "content-type", "c/d" } })
        assert.equal(1, count(text, "content-type"))
        assert.truthy(text:find("Content-Type: a/b", 1, true))
        assert.truthy(render({}, { { "content-type", "c/d" } }):find("content-type: c/d", 1, true))
    end)
    it("are made once for each second", function()
        local lines = common "m"
        lines.bytes[0] = ("T"):byte()
        lib.http_common_tick(lines, NOW)
        assert.equal("Terver: m\r\n" .. DATE, ffi.string(lines.bytes, lines.count))
        lines.bytes[lines.count - 7] = ("?"):byte()
        lib.http_common_tick(lines, NOW)
        assert.truthy(ffi.string(lines.bytes, lines.count):find("?", 1, true))
        lib.http_common_tick(lines, NOW + 1)
        assert.equal("Terver: m\r\nDate: Sun, 06 Nov 1994 08:49:38 GMT\r\n", ffi.string(lines.bytes, lines.count))
        lib.http_common_tick(lines, NOW - 1)
        assert.truthy(ffi.string(lines.bytes, lines.count):find("08:49:36", 1, true))
    end)
    it("are without a Date before the first second", function()
        local lines = common("m", false)
        assert.equal(-1, tonumber(lines.second))
        assert.equal("HTTP/1.1 200 OK\r\nServer: m\r\nContent-Length: 0\r\n\r\n", render({}, nil, lines))
        assert.equal(1, count(render({}, { { "Date", "x" } }, lines), "date"))
    end)
    it("take a Server of 96 bytes, and none of 97 or with a control", function()
        local lines = ffi.new("struct http_common")
        local long = ("s"):rep(96)
        assert.equal("HTTP/1.1 200 OK\r\nServer: " .. long .. "\r\n" .. DATE .. "Content-Length: 0\r\n\r\n", render({}, nil, common(long)))
        assert.equal(-22, lib.http_common_init(lines, long .. "s", 97))
        assert.equal(-22, lib.http_common_init(lines, "a\r\nb", 4))
        assert.equal(-22, lib.http_common_init(lines, "a\0", 2))
    end)
end)

describe("phrases", function()
    local function phrase(status)
        local s = lib.http_status_phrase(status)
        return ffi.string(s.at, s.bytes)
    end
    it("are those of the table, Unknown for all others", function()
        for status = 0, 1100 do assert.equal(rows[status] or "Unknown", phrase(status)) end
        assert.equal("Unknown", phrase(65535))
        assert.equal("Content Too Large", phrase(413))
    end)
end)

describe("a field name", function()
    it("is a token", function()
        for byte = 0, 255 do
            local char = string.char(byte)
            local token = char:find("^[%w!#$%%&'*+%-.^_`|~]$") ~= nil and byte < 128
            for _, name in ipairs { char, "abcdefgh" .. char, char .. "abcdefgh", "abc" .. char .. "defghijklmnop" } do
                assert.equal(token and 1 or 0, lib.http_name_valid(name, #name), ("%q"):format(name))
            end
        end
        assert.equal(0, lib.http_name_valid("", 0))
        assert.equal(1, lib.http_name_valid("a:", 1))
    end)
end)

describe("a field value", function()
    it("has no control but HTAB, at any place of any size", function()
        for size = 1, 40 do
            for _, byte in ipairs { 0, 1, 8, 9, 10, 11, 13, 31, 32, 33, 126, 127, 128, 0x89, 138, 255 } do
                local valid = byte == 9 or (byte >= 32 and byte ~= 127)
                for place = 1, size do
                    local value = ("a"):rep(place - 1) .. string.char(byte) .. ("\xff"):rep(size - place)
                    if lib.http_value_valid(value, size) ~= (valid and 1 or 0) then error(("%q"):format(value)) end
                end
            end
        end
    end)
    it("has no control of any kind, next to any byte", function()
        local function good(byte) return byte == 9 or (byte >= 32 and byte ~= 127) end
        for byte = 0, 255 do
            for other = 0, 255 do
                local value, valid = string.char(32, byte, other, 32, 32, 32, 32, 32), good(byte) and good(other)
                if lib.http_value_valid(value, 8) ~= (valid and 1 or 0) then error(("%q"):format(value)) end
            end
        end
    end)
    it("may be empty, and may have white space at its ends", function()
        for _, value in ipairs { "", " ", "\t", " a ", "\ta\t" } do assert.equal(1, lib.http_value_valid(value, #value)) end
    end)
    it("is judged on its own bytes alone", function()
        for size = 0, 40 do assert.equal(1, lib.http_value_valid(("a"):rep(size) .. "\r\n", size)) end
    end)
end)

describe("the number of a field", function()
    local known = {}
    for line in io.lines(c.root .. "/src/http/fields.tbl.h") do
        local id, name = line:match '^X%((%u[%u_]*), "(.*)"%)$'
        if id then known[#known + 1] = { tonumber(C["FIELD_" .. id]), name } end
    end
    local function number(name) return tonumber(lib.http_field_number(name, #name)) end

    it("is that of its row, in any case, and of nothing near it", function()
        assert.equal(tonumber(C.FIELD_COUNT) - 1, #known)
        local names = {}
        for _, row in ipairs(known) do names[row[2]] = true end
        for _, row in ipairs(known) do
            local id, name = row[1], row[2]
            local odd = name:gsub("%a%-?", string.upper, 3)
            for _, text in ipairs { name, name:upper(), odd, (name:gsub("^%l", string.upper)) } do assert.equal(id, number(text), text) end
            assert.equal(0, number("x" .. name))
            for n = 1, #name do
                if not names[name:sub(1, n - 1)] then assert.equal(0, number(name:sub(1, n - 1))) end
                for _, flip in ipairs { 0x01, 0x20, 0x40, 0x80 } do
                    local byte = bit.bxor(name:byte(n), flip)
                    local other = name:sub(1, n - 1) .. string.char(byte) .. name:sub(n + 1)
                    if not names[other:lower()] then assert.equal(0, number(other), ("%q"):format(other)) end
                end
            end
        end
        assert.equal(0, number "")
        assert.equal(0, number(("a"):rep(1000)))
    end)
    it("keeps its search short: no row shares its slot with many", function()
        local longest, slots = 0, {}
        for _, row in ipairs(known) do
            local name = row[2]
            local slot = (#name + name:byte(1) * 7 + name:byte(-1) * 8) % 256
            slots[slot] = (slots[slot] or 0) + 1
            longest = math.max(longest, slots[slot])
        end
        assert.is_true(longest <= 2)
    end)
end)
