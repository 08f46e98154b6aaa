local ffi = require "ffi"
local c = require "t.support.c"
c.header("http/head.h")
local lib = c.lib()
local requests = require "t.cases.request_heads"
local responses = require "t.cases.response_heads"

local PAD = 64
local implementations = { scalar = 1, sse2 = 2, avx2 = 3 }
local limits = ffi.new("struct http_head_limits", 8192, 16384, 100)

--- A buffer of exactly the text and the bytes that may be read past it, which look as if the head went on.
local function buffer(text)
    local bytes = ffi.new("char[?]", #text + PAD)
    ffi.copy(bytes, text, #text)
    ffi.copy(bytes + #text, ("\n\r\nX:y\r\n"):rep(8), PAD)
    return bytes
end

--- Parses the growing prefixes of `text` that end at each of `cuts`, as a connection would.
--- Returns what the parser returned last, the sentence, the head and its base.
local function parse_cut(text, cuts, options)
    options = options or {}
    local parse = options.response and lib.http_response_parse or lib.http_request_parse
    local at = options.at or 0
    local head, progress = ffi.new("struct http_head"), ffi.new("struct http_head_progress")
    local scan, reason = ffi.new("struct http_scan"), ffi.new("const char *[1]")
    local ret, bytes
    for _, cut in ipairs(cuts) do
        bytes = buffer(text:sub(1, cut)) -- moved, as when a partial head is copied out of the receive buffer
        lib.http_scan_begin(scan, bytes, cut)
        ret = parse(scan, at, options.limits or limits, progress, head, reason)
        if ret ~= 0 then break end
    end
    return ret, ret < 0 and ffi.string(reason[0]) or nil, head, bytes + at, bytes
end

local function parse(text, options) return parse_cut(text, { #text }, options) end

local function span(base, s) return ffi.string(base + s.at, s.bytes) end
local function flag(head, name) return bit.band(head.flags, tonumber(ffi.cast("int", ffi.C["HEAD_" .. name]))) ~= 0 end

--- A head as a Lua value, for comparing two and for comparing with a case.
local function picture(ret, head, base)
    local text = { ret = ret, minor = head.minor, code = head.status, length = head.content_length, method_number = head.method,
        form = head.target_form, method = span(base, head.method_text), target = span(base, head.target),
        path = span(base, head.path), query = span(base, head.query), authority = span(base, head.authority),
        keep_alive = flag(head, "KEEP_ALIVE"), chunked = flag(head, "CHUNKED"), has_length = flag(head, "HAS_LENGTH"),
        expect = flag(head, "EXPECT_CONTINUE"), upgrade = flag(head, "UPGRADE"), plain = flag(head, "PATH_PLAIN"),
        has_query = flag(head, "HAS_QUERY"), close = flag(head, "CLOSE"), bytes = head.bytes, fields = {}, ids = {} }
    for i = 0, head.field_count - 1 do
        local f = head.fields[i]
        text.fields[i + 1] = { span(base, f.name), span(base, f.value) }
        text.ids[i + 1] = f.id
    end
    return text
end

local function each_implementation(fn)
    for name, number in pairs(implementations) do
        if lib.http_head_select(number) == number then fn(name) end
    end
    lib.http_head_select(0)
end

--- Compares one parse with its case.
local function check(case, ret, reason, head, base)
    if case.status then
        assert.equal(-case.status, ret)
        assert.truthy(reason:find(case.reason, 1, true), ("%q does not contain %q"):format(reason, case.reason))
        return
    end
    assert.equal(#case[2], ret, reason)
    local is = picture(ret, head, base)
    assert.equal(ret, is.bytes)
    for key, want in pairs(case) do
        if key == "form" then assert.equal(tonumber(ffi.C["TARGET_" .. want]), is.form)
        elseif key == "method_number" then assert.equal(tonumber(ffi.C["METHOD_" .. want]), is.method_number)
        elseif key == "fields" then assert.same(want, is.fields)
        elseif key == "length" then assert.truthy(is.length == want, "content length " .. tostring(is.length))
        elseif type(key) == "string" and key ~= "rest" then assert.equal(want, is[key], key) end
    end
end

--- The case whole, cut once at every point, dripped byte by byte, and after other bytes in the buffer.
local function check_everywhere(case, options)
    local text = case[2] .. (case.rest or "")
    local drip = {}
    for cut = 0, #text do drip[#drip + 1] = cut end
    local before = ("GET / HTTP/1.1\r\nHost: b\r\n\r\n"):rep(3)
    each_implementation(function()
        check(case, parse(text, options))
        for cut = 0, #text do check(case, parse_cut(text, { cut, #text }, options)) end
        check(case, parse_cut(text, drip, options))
        local moved = setmetatable({ at = #before }, { __index = options })
        check(case, parse(before .. text, moved))
    end)
end

describe("the request head", function()
    for group, cases in pairs(requests) do
        describe(group, function()
            for _, case in ipairs(cases) do
                it((case.status and "refuses: " or "takes: ") .. case[1], function() check_everywhere(case, {}) end)
            end
        end)
    end

    it("is parsed to the same head by every implementation", function()
        for _, cases in pairs(requests) do
            for _, case in ipairs(cases) do
                local first
                each_implementation(function(name)
                    local ret, reason, head, base = parse(case[2])
                    local is = ret > 0 and picture(ret, head, base) or { ret, reason }
                    first = first or is
                    assert.same(first, is, name .. ": " .. case[1])
                end)
            end
        end
    end)

    it("is not complete at any point before its end", function()
        local text = "POST /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"
        each_implementation(function()
            for cut = 0, #text - 1 do assert.equal(0, (parse(text:sub(1, cut))), "cut at " .. cut) end
            assert.equal(#text, (parse(text)))
        end)
    end)

    it("follows another in the same buffer, sixteen deep", function()
        local one = "GET /%d HTTP/1.1\r\nHost: h%d\r\nX: y\r\n\r\n"
        local all = {}
        for i = 1, 16 do all[i] = one:format(i, i) end
        local text = table.concat(all)
        each_implementation(function()
            local at = 0
            for i = 1, 16 do
                local ret, reason, head, base = parse(text, { at = at })
                assert.equal(#all[i], ret, reason)
                assert.equal("/" .. i, span(base, head.path))
                assert.equal("h" .. i, span(base, head.authority))
                at = at + ret
            end
            assert.equal(0, (parse(text, { at = at })))
        end)
    end)
end)

describe("the response head", function()
    for _, case in ipairs(responses) do
        it((case.status and "refuses: " or "takes: ") .. case[1], function() check_everywhere(case, { response = true }) end)
    end
end)

describe("the limits of a head", function()
    local function with(line_bytes, head_bytes, field_count)
        return { limits = ffi.new("struct http_head_limits", line_bytes, head_bytes, field_count) }
    end

    it("answers 414 when the request line is one byte longer than allowed, whole or partial", function()
        local line = "GET /" .. ("a"):rep(86) .. " HTTP/1.1" -- 100 bytes
        assert.equal(100, #line)
        local text = line .. "\r\nHost: a\r\n\r\n"
        check_everywhere({ "", text }, with(100, 1000, 10))
        check_everywhere({ "", text, status = 414, reason = "request line" }, with(99, 1000, 10))
        check_everywhere({ "", "\r\n" .. text }, with(100, 1000, 10))
        each_implementation(function()
            assert.equal(0, (parse(("x"):rep(100), with(100, 1000, 10))))
            assert.equal(0, (parse(line .. "\r", with(100, 1000, 10))))
            assert.equal(-414, (parse(("x"):rep(101), with(100, 1000, 10))))
        end)
    end)

    it("answers 431 when the head is one byte longer than allowed, whole or partial", function()
        local text = "GET / HTTP/1.1\r\nHost: a\r\nX: " .. ("x"):rep(100) .. "\r\n\r\n"
        check_everywhere({ "", text }, with(100, #text, 10))
        check_everywhere({ "", text, rest = text }, with(100, #text, 10))
        check_everywhere({ "", text, status = 431, reason = "head is longer" }, with(100, #text - 1, 10))
        each_implementation(function()
            assert.equal(0, (parse(text:sub(1, #text - 2), with(100, #text - 1, 10))))
            assert.equal(-431, (parse(text:sub(1, #text - 1), with(100, #text - 1, 10))))
        end)
    end)

    it("answers 431 for one field line more than allowed, whole or partial", function()
        local function fields(n) return "GET / HTTP/1.1\r\nHost: a\r\n" .. ("X: y\r\n"):rep(n - 1) .. "\r\n" end
        check_everywhere({ "", fields(10) }, with(100, 1000, 10))
        check_everywhere({ "", fields(11), status = 431, reason = "field lines" }, with(100, 1000, 10))
    end)

    it("never holds more field lines than the structure has room for", function()
        local function fields(n) return "GET / HTTP/1.1\r\nHost: a\r\n" .. ("X:y\r\n"):rep(n - 1) .. "\r\n" end
        each_implementation(function()
            assert.equal(#fields(128), (parse(fields(128), with(100, 16384, 100000))))
            assert.equal(-431, (parse(fields(129), with(100, 16384, 100000))))
        end)
    end)

    it("never lets a head grow beyond what 16-bit offsets reach", function()
        local start = "GET / HTTP/1.1\r\nHost: a\r\nX: "
        local function text(bytes) return start .. ("x"):rep(bytes - #start - 4) .. "\r\n\r\n" end
        each_implementation(function()
            local ret, _, head, base = parse(text(61440), with(100, 1000000, 10))
            assert.equal(61440, ret)
            assert.equal(61440 - #start - 4, #span(base, head.fields[1].value))
            assert.equal(-431, (parse(text(61441), with(100, 1000000, 10))))
        end)
    end)

    it("are 502 in a response", function()
        local text = "HTTP/1.1 200 OK\r\nX: y\r\nX: y\r\n\r\n"
        local function options(...)
            local o = with(...)
            o.response = true
            return o
        end
        check_everywhere({ "", text }, options(15, #text, 2))
        check_everywhere({ "", text, status = 502, reason = "line" }, options(14, #text, 2))
        check_everywhere({ "", text, status = 502, reason = "head is longer" }, options(15, #text - 1, 2))
        check_everywhere({ "", text, status = 502, reason = "field lines" }, options(15, #text, 1))
    end)
end)

describe("a head that drips in", function()
    it("is resumed inside the line where it stopped", function()
        local text = "GET / HTTP/1.1\r\nHost: a\r\nX: " .. ("x"):rep(5000)
        each_implementation(function()
            local head, progress = ffi.new("struct http_head"), ffi.new("struct http_head_progress")
            local scan, reason = ffi.new("struct http_scan"), ffi.new("const char *[1]")
            local bytes = buffer(text)
            for count = 0, #text do
                lib.http_scan_begin(scan, bytes, count)
                bytes[count] = 0 -- a parser that looks at the last byte again, or beyond it, has to refuse
                assert.equal(0, lib.http_request_parse(scan, 0, limits, progress, head, reason))
                bytes[count] = count < #text and text:byte(count + 1) or 0
            end
            assert.equal(25, progress.line_at)
            assert.equal(#text - 25, progress.scanned)
        end)
    end)

    it("costs no look at the bytes already known of the first line", function()
        local text = "GET /" .. ("x"):rep(5000)
        each_implementation(function()
            local head, progress = ffi.new("struct http_head"), ffi.new("struct http_head_progress")
            local scan, reason = ffi.new("struct http_scan"), ffi.new("const char *[1]")
            local bytes = buffer(text .. "yz")
            lib.http_scan_begin(scan, bytes, #text)
            assert.equal(0, lib.http_request_parse(scan, 0, limits, progress, head, reason))
            ffi.fill(bytes + 5, 4000, 0)
            lib.http_scan_begin(scan, bytes, #text + 1)
            assert.equal(0, lib.http_request_parse(scan, 0, limits, progress, head, reason))
        end)
    end)

    it("costs no look at the bytes already known", function()
        local text = "GET / HTTP/1.1\r\nHost: a\r\nX: " .. ("x"):rep(5000)
        each_implementation(function()
            local head, progress = ffi.new("struct http_head"), ffi.new("struct http_head_progress")
            local scan, reason = ffi.new("struct http_scan"), ffi.new("const char *[1]")
            local bytes = buffer(text .. "y: z\r\n\r\n")
            lib.http_scan_begin(scan, bytes, #text)
            assert.equal(0, lib.http_request_parse(scan, 0, limits, progress, head, reason))
            ffi.fill(bytes + 30, 4000, 0) -- a NUL would be refused where it is seen again
            lib.http_scan_begin(scan, bytes, #text + 8)
            assert.equal(#text + 8, lib.http_request_parse(scan, 0, limits, progress, head, reason))
        end)
    end)
end)

describe("names known by number", function()
    local function rows(file)
        local list = {}
        for line in io.lines(c.root .. "/src/http/" .. file) do
            local id, text = line:match('^X%(([%w_]+), "([^"]+)"%)')
            if id then list[#list + 1] = { id = id, text = text } end
        end
        assert.truthy(#list > 10)
        return list
    end

    local function number_of(name)
        local ret, reason, head = parse("GET / HTTP/1.0\r\n" .. name .. ": 1\r\n\r\n")
        assert.truthy(ret > 0 or ret == -417 or ret == -400, reason)
        return head.fields[0].id
    end

    it("has every row of the field table, in any case, and nothing near it", function()
        each_implementation(function(name)
            for _, row in ipairs(rows("fields.tbl.h")) do
                local id = tonumber(ffi.C["FIELD_" .. row.id])
                local mixed = row.text:gsub("%f[%a]%a", string.upper)
                assert.equal(id, number_of(row.text), name .. " " .. row.text)
                assert.equal(id, number_of(row.text:upper()), name .. " " .. row.text)
                assert.equal(id, number_of(mixed), name .. " " .. row.text)
                for at = 1, #row.text do -- another byte at any place makes another name
                    local other = row.text:sub(1, at - 1) .. "!" .. row.text:sub(at + 1)
                    assert.equal(0, number_of(other), name .. " " .. other)
                end
                assert.equal(0, number_of(row.text .. "x"))
                assert.equal(0, number_of("x" .. row.text .. "!"))
            end
        end)
    end)

    it("has every row of the method table, in its own case alone", function()
        each_implementation(function()
            for _, row in ipairs(rows("methods.tbl.h")) do
                local target = row.text == "CONNECT" and "a:1" or "/"
                local _, _, head = parse(row.text .. " " .. target .. " HTTP/1.0\r\n\r\n")
                assert.equal(tonumber(ffi.C["METHOD_" .. row.id]), head.method, row.text)
                _, _, head = parse(row.text:lower() .. " / HTTP/1.0\r\n\r\n")
                assert.equal(tonumber(ffi.C.METHOD_OTHER), head.method, row.text:lower())
            end
        end)
    end)
end)

describe("a byte anywhere", function()
    local token = {}
    for ch in ("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"):gmatch(".") do token[ch] = true end

    it("may stand in a name if it is a token character, at any offset in a block", function()
        each_implementation(function()
            for byte = 0, 255 do
                local ch = string.char(byte)
                for _, before in ipairs { 0, 7, 30, 31, 40 } do
                    local ret = parse("GET / HTTP/1.0\r\nn" .. ("n"):rep(before) .. ch .. "n: x\r\n\r\n")
                    local want = token[ch] or ch == ":"
                    assert.equal(want and true or false, ret > 0, ("byte %d after %d"):format(byte, before))
                end
            end
        end)
    end)

    it("may stand in a value if it is no control but HTAB", function()
        each_implementation(function()
            for byte = 0, 255 do
                local ret = parse("GET / HTTP/1.0\r\nX: " .. ("v"):rep(byte % 50) .. string.char(byte) .. "v\r\n\r\n")
                assert.equal(byte == 9 or byte >= 32 and byte ~= 127, ret > 0, "byte " .. byte)
            end
        end)
    end)

    it("may stand in a path and in a query if it is visible ASCII and no '#'", function()
        each_implementation(function()
            for byte = 0, 255 do
                local want = byte > 32 and byte < 127 and byte ~= 35
                local ch, filler = string.char(byte), ("p"):rep(byte % 50)
                assert.equal(want, (parse("GET /" .. filler .. ch .. "p HTTP/1.0\r\n\r\n")) > 0, "path byte " .. byte)
                assert.equal(want, (parse("GET /?" .. filler .. ch .. "p HTTP/1.0\r\n\r\n")) > 0, "query byte " .. byte)
            end
        end)
    end)

    it("in a host is judged as http_authority_check judges it", function()
        c.header("http/url.h")
        each_implementation(function()
            for byte = 33, 255 do
                for _, form in ipairs { "a%sb", "%s", "a:%s", "a:1%s", "a:12%s4", "a:123%s", "a:1234%s", "a%s:80" } do
                    local host = form:format(string.char(byte) == "%" and "%%" or string.char(byte)):gsub("%%%%", "%%")
                    if byte ~= 127 then
                        local want = lib.http_authority_check(host, #host) == 0
                        assert.equal(want, (parse("GET / HTTP/1.1\r\nHost: " .. host .. "\r\n\r\n")) > 0, host)
                    end
                end
            end
        end)
    end)
end)

describe("a line", function()
    local function fields_of(value)
        local text = "GET / HTTP/1.1\r\nHost: a\r\nX-Long: " .. value .. "\r\nAccept: b\r\n\r\n"
        local ret, reason, head, base = parse(text)
        assert.equal(#text, ret, reason)
        assert.equal(3, head.field_count)
        assert.equal(value, span(base, head.fields[1].value))
        assert.equal("b", span(base, head.fields[2].value))
    end

    it("may end at any byte of a block", function()
        each_implementation(function()
            for bytes = 1, 200 do fields_of(("v"):rep(bytes)) end
        end)
    end)

    it("may hold what is no ASCII, and HTAB, at any byte of a block", function()
        each_implementation(function()
            for before = 0, 140 do
                for _, odd in ipairs { "\195\169", "\t", "\255", "\t\t\t\128" } do
                    fields_of("v" .. ("v"):rep(before) .. odd .. ("w"):rep(before % 70) .. odd .. "w")
                end
            end
        end)
    end)

    it("is refused for a control at any byte of a block, also behind what is no ASCII", function()
        each_implementation(function()
            for before = 0, 140 do
                for _, odd in ipairs { "\0", "\1", "\r", "\n", "\127", "\195\169\0", "\t\1", "\r\r\n" } do
                    local text = "GET / HTTP/1.1\r\nHost: a\r\nX: " .. ("v"):rep(before) .. odd .. "w\r\n\r\n"
                    assert.equal(-400, (parse(text)), before .. " " .. odd)
                end
            end
        end)
    end)
end)

describe("a short request", function()
    it("is the same at every length, whole at the end of the bytes, and with more behind it", function()
        for bytes = 0, 60 do
            for _, shape in ipairs { "GET /%s HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a%s:80\r\n\r\n",
                "GET / HTTP/1.1\r\nAccept: %sb\r\nHost: a\r\n\r\n", "GET /%s/.x HTTP/1.1\r\nhost: a\r\n\r\n" } do
                local text, first = shape:format(("x"):rep(bytes))
                each_implementation(function()
                    for _, behind in ipairs { "", text } do
                        local ret, reason, head, base = parse(text .. behind)
                        assert.equal(#text, ret, reason)
                        local is = picture(ret, head, base)
                        first = first or is
                        assert.same(first, is)
                    end
                end)
            end
        end
    end)

    it("is not taken for whole when its last lines are missing", function()
        each_implementation(function()
            for _, text in ipairs { "GET /some/path HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: a\r\n", "GET / HTTP/1.1\r\nHost: a\r\nAccept: b\r\n" } do
                for _, behind in ipairs { "\r\n", "Host: a\r\n\r\n", ("x"):rep(64) } do -- not received yet: what the buffer happens to hold
                    local bytes = ffi.new("char[?]", #text + #behind + PAD, text .. behind)
                    local head, progress = ffi.new("struct http_head"), ffi.new("struct http_head_progress")
                    local scan, reason = ffi.new("struct http_scan"), ffi.new("const char *[1]")
                    lib.http_scan_begin(scan, bytes, #text)
                    assert.equal(0, lib.http_request_parse(scan, 0, limits, progress, head, reason))
                end
            end
        end)
    end)

    it("has nothing but a colon behind a name, and nothing but white space or the value behind that", function()
        c.header("http/url.h")
        each_implementation(function()
            for byte = 0, 255 do
                local ch = string.char(byte)
                local colon = parse("GET / HTTP/1.1\r\nHost" .. ch .. " a\r\n\r\n")
                assert.equal(ch == ":", colon > 0, "byte " .. byte)
                local space = parse("GET / HTTP/1.1\r\nHost:" .. ch .. "a\r\n\r\n")
                local blank = ch == " " or ch == "\t"
                assert.equal(blank or lib.http_authority_check(ch .. "a", 2) == 0, space > 0, "byte " .. byte)
            end
        end)
    end)
end)

describe("the corpus of the fuzz harness", function()
    local lfs = require "lfs"
    it("is parsed alike by every implementation, whole and cut in two", function()
        local seen = 0
        local folder = c.root .. "/t/fuzz/corpus/head/"
        for name in lfs.dir(folder) do
            local file = name:sub(1, 1) ~= "." and assert(io.open(folder .. name, "rb"))
            if file then
                local text = file:read("*a"):sub(3) -- two bytes that choose the cut
                file:close()
                seen = seen + 1
                for _, response in ipairs { false, true } do
                    local first
                    each_implementation(function()
                        for cut = 0, #text do
                            local ret, reason, head, base = parse_cut(text, { cut, #text }, { response = response })
                            local is = ret > 0 and picture(ret, head, base) or { ret, reason }
                            first = first or is
                            assert.same(first, is, name)
                        end
                    end)
                end
            end
        end
        assert.truthy(seen >= 10)
    end)
end)

describe("the lookup of fields", function()
    it("finds by number and by name, in order, from an index on", function()
        local text = "GET / HTTP/1.1\r\nHost: a\r\nX-One: 1\r\nAccept: b\r\nx-one: 2\r\nACCEPT: c\r\n\r\n"
        local _, _, head, base = parse(text)
        local accept = ffi.C.FIELD_ACCEPT
        assert.equal(2, lib.http_head_find(head, accept, 0))
        assert.equal(4, lib.http_head_find(head, accept, 3))
        assert.equal(-1, lib.http_head_find(head, accept, 5))
        assert.equal(-1, lib.http_head_find(head, ffi.C.FIELD_COOKIE, 0))
        assert.equal(1, lib.http_head_find_name(head, base, "X-ONE", 5, 0))
        assert.equal(3, lib.http_head_find_name(head, base, "X-ONE", 5, 2))
        assert.equal(-1, lib.http_head_find_name(head, base, "X-ON", 4, 0))
        assert.equal(-1, lib.http_head_find_name(head, base, "x-two", 5, 0))
    end)

    it("tells which implementation was chosen, and takes the best for one the processor lacks", function()
        local best = lib.http_head_select(0)
        assert.equal(best, lib.http_head_select(3))
        assert.equal(1, lib.http_head_select(1))
        assert.equal(best, lib.http_head_select(0))
    end)
end)
