local ffi = require "ffi"
local lfs = require "lfs"
local c = require "t.support.c"
c.header("http/url.h")
local lib = c.lib()

local function normalise(path)
    local ret = ffi.new("char[?]", #path + 1)
    ret[#path] = 0x55
    local n = lib.http_path_normalise(path, #path, ret)
    assert.equal(0x55, ret[#path]) -- nothing is written behind the room that was promised
    if n < 0 then return n end
    return ffi.string(ret, n)
end

local function decode(text, plus)
    local ret = ffi.new("char[?]", #text + 1)
    return ffi.string(ret, lib.http_percent_decode(text, #text, plus and 1 or 0, ret))
end

local function authority(text) return lib.http_authority_check(text, #text) end

describe("a path", function()
    local cases = {
        { "", "" }, { "/", "/" }, { "/a", "/a" }, { "/a/b/c", "/a/b/c" }, { "/a/", "/a/" },
        { "/.", "/" }, { "/./", "/" }, { "/a/.", "/a/" }, { "/a/./b", "/a/b" }, { "/a/././b/.", "/a/b/" },
        { "/a/b/..", "/a/" }, { "/a/b/../", "/a/" }, { "/a/b/../c", "/a/c" }, { "/a/..", "/" }, { "/a/b/../../c", "/c" },
        { "/abc/def/../../ghi/..", "/" }, { "/a/../b/../c/../d", "/d" },
        { "/...", "/..." }, { "/.a", "/.a" }, { "/..a/b", "/..a/b" }, { "/a..", "/a.." }, { "/a./b.", "/a./b." },
        { "//", "//" }, { "//a", "//a" }, { "/a//b", "/a//b" }, { "/a//../b", "/a/b" }, { "/a//..", "/a/" }, { "/a/..//", "//" },
        { "/%41%7a%30%2D%5f%7E", "/Az0-_~" }, { "/%2e", "/" }, { "/a/%2E%2e", "/" }, { "/a/.%2e/b", "/b" }, { "/a/%2e./b", "/b" },
        { "/%2f", "/%2F" }, { "/a%2f..%2fb", "/a%2F..%2Fb" }, { "/%c3%a9", "/%C3%A9" }, { "/%252e%252e", "/%252e%252e" },
        { "/%0a%1F%7f", "/%0A%1F%7F" }, { "/%5c..", "/%5C.." }, { "/a\\..\\b", "/a\\..\\b" }, { "/\xc3\xa9 {}", "/\xc3\xa9 {}" },
    }
    for _, case in ipairs(cases) do
        it(("normalises %q to %q, and that stays as it is"):format(case[1], case[2]), function()
            assert.equal(case[2], normalise(case[1]))
            assert.equal(case[2], normalise(case[2]))
        end)
    end

    for _, path in ipairs { "/..", "/../x", "/a/../..", "/a/../../b", "/./..", "/%2e%2e", "/%2E./x" } do
        it(("%q climbs above the root: 400"):format(path), function() assert.equal(-400, normalise(path)) end)
    end

    for _, path in ipairs { "/%", "/%4", "/%zz", "/%4g", "/%g4", "/a%", "/%%34%31", "/% 4", "/%-1", "/%00", "/a%00b",
        "/\0", "/a\tb", "/a\nb", "/a\r", "/\x1f", "/\x7f", "a", "a/b", "*", "%2Fa" } do
        it(("%q is malformed: 400"):format(path), function() assert.equal(-400, normalise(path)) end)
    end

    it("reads no byte behind its end", function()
        local ret = ffi.new("char[8]")
        assert.equal(-400, lib.http_path_normalise("/a%41", 4, ret))
        assert.equal(-400, lib.http_path_normalise("/a%41", 3, ret))
        assert.equal(3, lib.http_path_normalise("/a%41", 5, ret))
    end)

    it("may be normalised in its own place", function()
        for _, case in ipairs(cases) do
            local room = ffi.new("char[?]", #case[1] + 1, case[1])
            local n = lib.http_path_normalise(room, #case[1], room)
            assert.equal(case[2], ffi.string(room, n))
        end
    end)

    it("never grows, keeps no dot segment and is settled, for made-up paths", function()
        math.randomseed(7)
        local parts = { "/", "/", "/", ".", "..", "%2e", "%2E%2e", "a", "b%2f", "%41", "%c3%A9", "~", "\\" }
        local good = 0
        for _ = 1, 20000 do
            local text = { "/" }
            for i = 2, math.random(2, 12) do text[i] = parts[math.random(#parts)] end
            local path = table.concat(text)
            local out = normalise(path)
            if out ~= -400 then
                good = good + 1
                assert.is_true(#out <= #path, path)
                assert.is_nil((out .. "/"):find("/%.%.?/"), path)
                assert.equal(out, normalise(out), path)
            end
        end
        assert.is_true(good > 5000)
    end)
end)

describe("percent-decoding", function()
    it("decodes every escape, in either case", function()
        for value = 0, 255 do
            assert.equal(string.char(value), decode(("%%%02x"):format(value)))
            assert.equal(string.char(value), decode(("%%%02X"):format(value)))
        end
    end)
    it("makes '+' a space only when it is asked to", function()
        assert.equal("a b c", decode("a+b%20c", true))
        assert.equal("a+b c", decode("a+b%20c", false))
        assert.equal("+", decode("%2B", true))
    end)
    it("leaves bad escapes as they are", function()
        for _, text in ipairs { "%", "%4", "%zz", "a%", "a%4", "%%", "100%", "%4g" } do assert.equal(text, decode(text)) end
        assert.equal("%A", decode("%%41"))
        assert.equal("%41", decode("%2541"))
    end)
    it("reads no byte behind its end", function()
        local ret = ffi.new("char[4]")
        assert.equal(2, lib.http_percent_decode("%41", 2, 0, ret))
        assert.equal("%4", ffi.string(ret, 2))
    end)
end)

describe("an authority", function()
    local long = ("a"):rep(300)
    for _, text in ipairs { "localhost", "localhost:8080", "a", "example.com", "EXAMPLE.com:80", "127.0.0.1", "127.0.0.1:65535",
        "a:", "a:0", "a:00000", "a:65535", "a_b.c~d", "a!$&'()*+;=b", "xn--bcher-kva.example", "b%C3%BCcher.example", "%41b",
        "999.1.1.1", "a.", long, "[::]", "[::1]", "[::1]:443", "[::1]:", "[1::]", "[1:2:3:4:5:6:7:8]", "[1:2:3:4:5:6:7::]",
        "[::2:3:4:5:6:7:8]", "[fe80::ABCD]", "[1:2:3:4:5:6:1.2.3.4]", "[::ffff:255.255.255.255]", "[1::5:6:1.2.3.4]",
        "[1:2:3:4:5::1.2.3.4]" } do
        it(("%q is good"):format(text), function() assert.equal(0, authority(text)) end)
    end
    for _, text in ipairs { "", ":", ":80", "a:65536", "a:99999", "a:000080", "a:-1", "a:+1", "a:8 ", "a:8x", "a:80:80", "a b", " a", "a ",
        "a,b", "a/", "/a", "a/b", "u@a", "u:p@a", "a?b", "a#b", "a\\b", "a\"", "a<b", "a^b", "a`b", "a|b", "a{b", "a\tb", "a\0", "a\127", "\xc3\xa9",
        "a%", "a%4", "a%zz", "a%00", "a%0d", "a%2f", "a%40b", "a%2c", "a%20", "a%7f", "::1", "[", "[]", "]", "[::1", "[::1]x", "[::1]80", "[:]",
        "[:::]", "[1]", "[1:2:3:4:5:6:7]", "[1:2:3:4:5:6:7:8:9]", "[1:2:3:4:5:6:7:8::]", "[::1::]", "[1:2:3:4:5:6:7:]", "[:1:2:3:4:5:6:7]",
        "[12345::]", "[g::]", "[::1%25eth0]", "[v1.a]", "[127.0.0.1]", "[::256.1.1.1]", "[::1.2.3]", "[::1.2.3.4.5]", "[::01.2.3.4]",
        "[::1.2.3.4:5]", "[1:2:3:4:5:6:7:1.2.3.4]", "[1:2:3:4:5:6::1.2.3.4]", "[::1.2.3.]", "[[::1]]", "a[::1]", "[::1 ]" } do
        it(("%q is not: 400"):format(text), function() assert.equal(-400, authority(text)) end)
    end
    it("is judged on its own bytes alone", function()
        assert.equal(0, lib.http_authority_check("a:80,b", 4))
        assert.equal(-400, lib.http_authority_check("a%41", 3))
        assert.equal(-400, lib.http_authority_check("[::1]", 4))
    end)
end)

describe("the fuzz corpus of targets", function()
    local folder = c.root .. "/t/fuzz/corpus/target/"
    it("never grows, and is settled once it is normal", function()
        local count, normal = 0, 0
        for name in lfs.dir(folder) do
            if lfs.attributes(folder .. name, "mode") == "file" then
                local f = assert(io.open(folder .. name, "rb"))
                local text = f:read("*a")
                f:close()
                local out = normalise(text)
                if out ~= -400 then
                    normal = normal + 1
                    assert.is_true(#out <= #text)
                    assert.is_nil((out .. "/"):find("/%.%.?/"))
                    assert.equal(out, normalise(out))
                end
                assert.is_true(#decode(text) <= #text)
                assert.is_true(authority(text) == 0 or authority(text) == -400)
                count = count + 1
            end
        end
        assert.is_true(count >= 10 and normal >= 5)
    end)
end)
