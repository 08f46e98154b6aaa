local ffi = require "ffi"
local lfs = require "lfs"
local c = require "t.support.c"
c.header("http/body.h")
local lib = c.lib()
local flag = { chunked = ffi.C.HEAD_CHUNKED, length = ffi.C.HEAD_HAS_LENGTH }

local at, run = ffi.new("uint32_t[1]"), ffi.new("uint32_t[1]")

local function head(flags, length, status)
    local h = ffi.new("struct http_head")
    h.flags, h.content_length, h.status = flags or 0, length or -1, status or 200
    return h
end

local function request(flags, length)
    local body = ffi.new("struct http_body")
    lib.http_body_begin_request(body, head(flags, length))
    return body
end

local function response(status, method, flags, length)
    local body = ffi.new("struct http_body")
    lib.http_body_begin_response(body, head(flags, length, status), method or ffi.C.METHOD_GET)
    return body
end

--- Feeds the pieces as a connection would. Returns content and bytes consumed, or nil and the negated status.
local function feed(body, pieces)
    local content, total = {}, 0
    for _, piece in ipairs(pieces) do
        local from = 0
        local bytes = ffi.new("char[?]", #piece)
        ffi.copy(bytes, piece, #piece)
        while from < #piece and body.done == 0 do
            local n = tonumber(lib.http_body_next(body, bytes + from, #piece - from, at, run))
            if n < 0 then return nil, n, table.concat(content) end
            assert.is_true(n > 0 and n <= #piece - from and at[0] + run[0] == n)
            content[#content + 1] = ffi.string(bytes + from + at[0], run[0])
            from, total = from + n, total + n
        end
    end
    return table.concat(content), total
end

local function cuts(text)
    local bytewise = {}
    for i = 1, #text do bytewise[i] = text:sub(i, i) end
    local all = { { text }, bytewise }
    for i = 1, #text - 1 do all[#all + 1] = { text:sub(1, i), text:sub(i + 1) } end
    return all
end

local function accepts(wire, content, rest)
    for _, pieces in ipairs(cuts(wire .. (rest or ""))) do
        local body = request(flag.chunked)
        local got, total = feed(body, pieces)
        assert.equal(content, got)
        assert.equal(#wire, total)
        assert.equal(1, body.done)
        assert.equal(#content, tonumber(body.content))
        assert.equal(#wire - #content, tonumber(body.framing))
    end
end

--- Every way to cut it must fail, with the same content before.
local function refuses(wire)
    local before
    for _, pieces in ipairs(cuts(wire)) do
        local body = request(flag.chunked)
        local got, status, content = feed(body, pieces)
        assert.is_nil(got, ("%q"):format(wire))
        assert.equal(-400, status)
        before = before or content
        assert.equal(before, content)
        assert.equal(0, body.done)
        assert.equal(-400, tonumber(lib.http_body_next(body, "0\r\n\r\n", 5, at, run))) -- and it stays refused
    end
end

local function more(wire)
    local body = request(flag.chunked)
    assert.truthy(feed(body, { wire }))
    assert.equal(0, body.done)
end

describe("what frames a request", function()
    it("has no content without fields", function()
        local body = request()
        assert.equal(ffi.C.BODY_NONE, body.kind)
        assert.equal(1, body.done)
        assert.equal(0, tonumber(lib.http_body_next(body, "GET", 3, at, run)))
        assert.equal(0, run[0])
    end)
    it("ends at once with a length of 0", function()
        assert.equal(1, request(flag.length, 0).done)
        assert.equal(0, request(flag.length, 1).done)
    end)
    it("counts a length, and takes nothing of what follows", function()
        for _, pieces in ipairs(cuts "hello GET / ") do
            local body = request(flag.length, 5)
            local got, total = feed(body, pieces)
            assert.equal("hello", got)
            assert.equal(5, total)
            assert.equal(1, body.done)
            assert.equal(5, tonumber(body.content))
        end
    end)
    it("takes lengths beyond 32 bits", function()
        local body = request(flag.length, 2 ^ 33)
        assert.equal(4, tonumber(lib.http_body_next(body, "abcd", 4, at, run)))
        assert.equal(2 ^ 33 - 4, tonumber(body.left))
        assert.equal(0, body.done)
    end)
end)

describe("what frames a response", function()
    local GET, HEAD, CONNECT = ffi.C.METHOD_GET, ffi.C.METHOD_HEAD, ffi.C.METHOD_CONNECT
    local kind = { none = ffi.C.BODY_NONE, length = ffi.C.BODY_LENGTH, chunked = ffi.C.BODY_CHUNKED, close = ffi.C.BODY_UNTIL_CLOSE }
    for _, case in ipairs {
        { "200", GET, 200, nil, "close" }, { "200 with a length", GET, 200, flag.length, "length" },
        { "200 in chunks", GET, 200, flag.chunked, "chunked" }, { "404", GET, 404, nil, "close" },
        { "200 to HEAD", HEAD, 200, flag.length, "none" }, { "200 in chunks to HEAD", HEAD, 200, flag.chunked, "none" },
        { "100", GET, 100, flag.length, "none" }, { "101", GET, 101, nil, "none" }, { "199", GET, 199, flag.chunked, "none" },
        { "204", GET, 204, flag.length, "none" }, { "304", GET, 304, flag.length, "none" }, { "205", GET, 205, flag.length, "length" },
        { "200 to CONNECT", CONNECT, 200, flag.length, "none" }, { "299 to CONNECT", CONNECT, 299, flag.chunked, "none" },
        { "300 to CONNECT", CONNECT, 300, flag.length, "length" }, { "407 to CONNECT", CONNECT, 407, nil, "close" },
    } do
        it(("is '%s' for %s"):format(case[5], case[1]), function()
            local body = response(case[3], case[2], case[4], case[4] == flag.length and 9 or nil)
            assert.equal(kind[case[5]], body.kind)
            assert.equal(case[5] == "none" and 1 or 0, body.done)
        end)
    end
    it("takes everything until the close", function()
        local body = response(200)
        assert.equal("abcdef", (feed(body, { "abc", "def" })))
        assert.equal(0, body.done)
        assert.equal(6, tonumber(body.content))
    end)
end)

describe("chunks", function()
    it("give their content, however they are cut, and leave what follows", function()
        accepts("0\r\n\r\n", "", "GET / HTTP/1.1\r\n")
        accepts("5\r\nhello\r\n0\r\n\r\n", "hello", "0\r\n\r\n")
        accepts("1\r\na\r\n2\r\nbc\r\nA\r\n0123456789\r\n0a\r\n\r\n\r\n0\r\n000\r\n000\r\n\r\n", "abc0123456789\r\n\r\n0\r\n000")
        accepts("00000000000000aF\r\n" .. ("x"):rep(175) .. "\r\n0000000000000000\r\n\r\n", ("x"):rep(175))
    end)
    it("ask for more while they are not complete", function()
        local wire = "5;a=\"b\"\r\nhello\r\n0\r\nx-a: b\r\n\r\n"
        for n = 0, #wire - 1 do more(wire:sub(1, n)) end
    end)
    it("hand out each run where it lies", function()
        local body, wire = request(flag.chunked), "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        assert.equal(6, tonumber(lib.http_body_next(body, wire, #wire, at, run)))
        assert.same({ 3, 3 }, { at[0], run[0] })
        assert.equal(7, tonumber(lib.http_body_next(body, wire:sub(7), #wire - 6, at, run)))
        assert.same({ 5, 2 }, { at[0], run[0] })
        assert.equal(7, tonumber(lib.http_body_next(body, wire:sub(14), #wire - 13, at, run)))
        assert.same({ 0, 1 }, { run[0], body.done })
    end)

    for _, size in ipairs { "", " ", "+1", "-1", "0x1", "1_0", "g", "1g", " 1", "1 ", "1\t", "\t1", "1.0", "1,1", ".", ":", "1:", "\0", "1\0", "\xb9", "1\v" } do
        it(("refuse the size %q"):format(size), function() refuses(size .. "\r\na\r\n0\r\n\r\n") end)
    end
    it("refuse sizes of more than 16 digits, or of 2^63 and more", function()
        accepts(("0"):rep(15) .. "1\r\na\r\n0\r\n\r\n", "a")
        refuses(("0"):rep(16) .. "1\r\na\r\n0\r\n\r\n")
        more("7fffffffffffffff\r\nabc")
        refuses("8000000000000000\r\nabc")
        refuses("ffffffffffffffff\r\nabc")
        refuses("10000000000000000\r\nabc")
        refuses("10000000000000005\r\nhello\r\n0\r\n\r\n")
    end)
    for _, wire in ipairs { "1\na\r\n0\r\n\r\n", "1\r\r\na\r\n", "1\r\na\n0\r\n\r\n", "1\r\na\r0\r\n\r\n", "1\r\nab\r\n", "1\r\na0\r\n\r\n", "1\r\na\r\n\r\n0\r\n\r\n",
        "\r\n1\r\na\r\n0\r\n\r\n", "0\n\r\n", "0\r\n\n", "0\r\n\r\r", "0\r\n\rx", "0\r0", "2\r\na\r\n0\r\n\r\n" } do
        it(("refuse the line ends of %q"):format(wire), function() refuses(wire) end)
    end
end)

describe("chunk extensions", function()
    for _, ext in ipairs { ";a", ";a=b", ";a;b", ";a=b;c=d;e", ';a=""', ';a="b c\t;=\xc3\xa9"', [[;a="\"\\"]], ';a="x";b', ";!#$%&'*+-.^_`|~09=az", ';a="\\\t"' } do
        it(("%q is accepted, and dropped"):format(ext), function()
            accepts("1" .. ext .. "\r\na\r\n0" .. ext .. "\r\n\r\n", "a")
        end)
    end
    for _, ext in ipairs { ";", ";;a", ";a;", ";=b", ";a=", ";a=;b", " ;a", "; a", ";a ", ";a =b", ";a= b", ";a=b ", ';a="b', ';a="b"c', ';a="b" ', ';a=b"c"', ";a=b=c",
        ';a="\n"', ';a="\r"', ';a="\\\r\n"', ';a="\0"', ';a="\127"', ";a\n", ";a=b\n", ";a\0", ";a=\xc3", ";a/b", ";a,b", "\t;a", ';"a"=b', ';a="b"="c"' } do
        it(("%q is refused"):format(ext), function()
            refuses("1" .. ext .. "\r\na\r\n0\r\n\r\n")
        end)
    end
    it("TERM.EXT and EXT.TERM: no line feed ends a line inside an extension", function()
        refuses("5;a\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n")
        refuses('5;a="\n"\r\nhello\r\n0\r\n\r\n')
        refuses("5\n;a\r\nhello\r\n0\r\n\r\n")
        refuses("5;\nab\r\n0\r\n\r\n")
    end)
    it("may have 256 bytes per chunk", function()
        accepts("1;" .. ("a"):rep(255) .. "\r\na\r\n1;b=" .. ("a"):rep(253) .. "\r\nb\r\n0\r\n\r\n", "ab")
        refuses("1;" .. ("a"):rep(256) .. "\r\na\r\n")
        refuses('1;a="' .. ("a"):rep(252) .. '"\r\na\r\n')
        refuses("1" .. (";a"):rep(128) .. ";\r\na\r\n")
    end)
end)

describe("the bound on framing", function()
    it("lets chunks of one byte pass for ever", function()
        local body = request(flag.chunked)
        local got = feed(body, { ("1\r\na\r\n"):rep(100000) .. "0\r\n\r\n" })
        assert.equal(100000, #got)
        assert.equal(1, body.done)
    end)
    it("refuses a body that is nearly all extension", function()
        local chunk = "1;" .. ("x"):rep(200) .. "\r\na\r\n"
        local status = select(2, feed(request(flag.chunked), { chunk:rep(5000) }))
        assert.equal(-400, status)
    end)
    it("is 16 KiB and 8 bytes per byte of content, at the end of a size line", function()
        local function size_line(bytes) return "1;" .. ("x"):rep(bytes - 4) .. "\r\n" end
        local body, left = request(flag.chunked), nil
        repeat
            assert.truthy(feed(body, { size_line(200) .. "a\r\n" }))
            left = 16384 + 8 * tonumber(body.content) - tonumber(body.framing)
        until left < 250
        local saved = ffi.string(body, ffi.sizeof(body))
        assert.truthy(feed(body, { size_line(left) }))
        ffi.copy(body, saved, #saved)
        assert.equal(-400, (select(2, feed(body, { size_line(left + 1) }))))
    end)
end)

describe("trailers", function()
    it("are checked and dropped", function()
        accepts("1\r\na\r\n0\r\nx-sum: 1\r\n\r\n", "a", "GET /")
        accepts("0\r\nA:\r\nb: \tc\xff\t \r\nHos: a\r\nHosts: a\r\nhost-: b\r\nX-Host: c\r\nauthorization2: d\r\n\r\n", "")
    end)
    for _, line in ipairs { ":a", " a: b", "\ta: b", "a b: c", "a : b", "a", "a\t:b", "a\0: b", "\xc3: b", "a: b\0", "a: \127", "a: b\n", "a: b\rc", "a: b\r\n c: d",
        "a: b\r\n\tc: d", "(a): b", "a\n: b" } do
        it(("refuse %q"):format(line), function() refuses("0\r\n" .. line .. "\r\n\r\n") end)
    end
    for _, name in ipairs { "content-length", "transfer-encoding", "host", "authorization" } do
        it("refuse " .. name .. ", in any case, on any line", function()
            refuses("0\r\n" .. name .. ": 1\r\n\r\n")
            refuses("0\r\nx: y\r\n" .. name:upper() .. ":1\r\n\r\n")
            accepts("0\r\n" .. name:sub(1, -2) .. ": 1\r\n" .. name .. "s: 1\r\nx" .. name .. ": 1\r\n\r\n", "")
        end)
    end
    it("may be 64 lines", function()
        accepts("0\r\n" .. ("a:b\r\n"):rep(64) .. "\r\n", "")
        refuses("0\r\n" .. ("a:b\r\n"):rep(65) .. "\r\n")
    end)
    it("may be 8 KiB", function()
        local body = request(flag.chunked)
        assert.truthy(feed(body, { "0\r\na:" .. ("x"):rep(8188) .. "\r\n\r\n" }))
        assert.equal(1, body.done)
        assert.equal(-400, (select(2, feed(request(flag.chunked), { "0\r\na:" .. ("x"):rep(8189) .. "\r\n\r\n" }))))
        assert.equal(-400, (select(2, feed(request(flag.chunked), { "0\r\n" .. ("a:" .. ("x"):rep(4092) .. "\r\n"):rep(2) .. "a:\r\n\r\n" }))))
        body = request(flag.chunked)
        assert.truthy(feed(body, { "0\r\n" .. ("a:" .. ("x"):rep(4092) .. "\r\n"):rep(2) .. "\r\n" }))
        assert.equal(1, body.done)
    end)
end)

describe("the fuzz corpus of bodies", function()
    local folder = c.root .. "/t/fuzz/corpus/body/"
    it("gives the same whole and in bytes", function()
        local count = 0
        for name in lfs.dir(folder) do
            if lfs.attributes(folder .. name, "mode") == "file" then
                local f = assert(io.open(folder .. name, "rb"))
                local wire = f:read("*a"):sub(3)
                f:close()
                local whole = { feed(request(flag.chunked), { wire }) }
                for _, pieces in ipairs(cuts(wire:sub(1, 400))) do
                    if #wire <= 400 then assert.same(whole, { feed(request(flag.chunked), pieces) }) end
                end
                count = count + 1
            end
        end
        assert.is_true(count >= 8)
    end)
end)
