--- mg.re, mg.crypto, mg.encode, mg.decode and mg.lru in the real program, against published examples and what cannot be.
local server = require "t.support.server"

local SITE = [[
local mg = require "moongate"
local app = mg.app()
app:post("/do", function(req)
    local fn = assert(loadstring("local mg, same, fails = ... " .. req:text()))
    local function shown(value)
        if type(value) ~= "table" then return type(value) == "string" and ("%q"):format(value) or tostring(value) end
        local keys, parts = {}, {}
        for key in pairs(value) do keys[#keys + 1] = key end
        table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
        for i, key in ipairs(keys) do parts[i] = tostring(key) .. "=" .. shown(value[key]) end
        return "{" .. table.concat(parts, ", ") .. "}"
    end
    local count = 0
    fn(mg, function(expected, ...)
        local got = { n = select("#", ...), ... }
        for i = 1, got.n do got[i] = shown(got[i]) end
        local text = table.concat(got, " ")
        count = count + 1
        if text ~= expected then error(("check %d: expected %s, got %s"):format(count, expected, text), 2) end
    end, function(pattern, fn, ...)
        local ok, message = pcall(fn, ...)
        if ok or not tostring(message):match(pattern) then error(("expected %s, got %s"):format(pattern, tostring(message)), 2) end
    end)
    return tostring(count)
end)
return app
]]

describe("the everyday library", function()
    local s
    setup(function() s = server.start { script = SITE } end)
    teardown(function() s:stop() end)

    local function check(code)
        local response = s:connect():post("/do", code)
        if response.status ~= 200 then error(s:wait_log("expected .*got [^\n]*", 5)) end
        assert.is_true(tonumber(response.body) > 0)
    end

    it("matches and finds", function()
        check [[
            same('{0="a1", 1="a", 2="1"}', mg.re.match("x a1", "([a-z])(\\d)"))
            same('{0="2026-11", 1="2026", 2="11", month="11", year="2026"}', mg.re.match("on 2026-11-21", "(?<year>\\d+)-(?<month>\\d+)"))
            same('{0="b", 1=false, 2="b"}', mg.re.match("b", "(a)|(b)"))
            same("nil", (mg.re.match("abc", "B")))
            same('{0="B"}', mg.re.match("aBc", "b", "i"))
            same("nil", (mg.re.match("abc", "a", nil, 2)))
            same("nil", (mg.re.match("abc", "c", "a")))
            same('{0="c"}', mg.re.match("abc", "c", "a", 3))
            same('{0=""}', mg.re.match("abc", "$", nil, 4))
            same("nil", (mg.re.match("abc", "$", nil, 5)))
            same("2 3", mg.re.find("abbc", "b+"))
            same("3 2", mg.re.find("ab", "$"))
            same('{0="b"}', mg.re.match("a\nb", "^b$", "m"))
            same('{0="ä"}', mg.re.match("ä", "^.$", "u"))
            same("nil", (mg.re.match("ä", "^.$")))
            same('nil "the text is not UTF-8" "utf-8"', mg.re.match("\255", ".", "u"))
            same('{0="a.b"}', mg.re.match("xa.b", mg.re.escape("a.b")))]]
    end)

    it("goes through all matches, empty ones too, each once", function()
        check [[
            local function all(...) local list = {} for c in mg.re.gmatch(...) do list[#list + 1] = c[0] end return table.concat(list, "|") end
            same('"1|22|333"', all("1 22 333", "\\d+"))
            same('"b|"', all("abc", "b|(?=b)|$"))
            same('"||"', all("ab", ""))
            same('"||"', all("äb", "", "u"))
            same('"-a-b-" 3', mg.re.gsub("ab", "", "-"))
            same('"<1> <22>" 2', mg.re.gsub("1 22", "(\\d+)", "<$1>"))
            same('"$1" 1', mg.re.gsub("a", "a", "$$1"))
            same('"b-a" 1', mg.re.gsub("a-b", "(?<x>\\w)-(\\w)", "$2-${x}"))
            same('"A-B" 2', mg.re.gsub("a-b", "\\w", function(c) return c[0]:upper() end))
            same('"one-b" 2', mg.re.gsub("a-b", "\\w", { a = "one" }))
            same('"x a" 1', mg.re.sub("a a", "a", "x"))
            same('{1="a", 2="b", 3="", 4="c"}', mg.re.split("a,b,,c", ","))
            same('{1="a", 2="b,,c"}', mg.re.split("a,b,,c", ",", nil, 2))
            same('{1="a", 2="b", 3="c"}', mg.re.split("abc", ""))
            same('{1=""}', mg.re.split("", ","))]]
    end)

    it("ends a catastrophic pattern, and says what is wrong with one", function()
        check [[
            local from = os.clock()
            same('nil "the match takes more than a million steps: the pattern may go wrong ways again and again" "limit"',
                mg.re.match(("a"):rep(40) .. "b", "^(a|a)*$|^(a+)+$"))
            same("true", os.clock() - from < 2)
            fails('mg.re.match: pattern "%(a": byte 3: missing closing parenthesis', mg.re.match, "a", "(a")
            fails('no such option: "q"', mg.re.match, "a", "a", "q")
            fails('there is no group "2"', mg.re.gsub, "a", "(a)", "$2")
            for i = 1, 2000 do mg.re.match("x", "x" .. i) end
            same('{0="x7"}', mg.re.match("x7", "x7"))]]
    end)

    it("writes and reads base64, hexadecimal, URLs and dates", function()
        check [[
            for bytes, text in pairs { [""] = "", f = "Zg==", fo = "Zm8=", foo = "Zm9v", foob = "Zm9vYg==", fooba = "Zm9vYmE=", foobar = "Zm9vYmFy" } do
                same(("%q"):format(text), mg.encode.base64(bytes))
                same(("%q"):format(bytes), mg.decode.base64(text))
                same(("%q"):format(bytes), mg.decode.base64url((text:gsub("=", ""))))
            end
            same('"-_8"', mg.encode.base64url("\251\255"))
            for _, wrong in ipairs { "Z", "Zh==", "Zg=", "Z=g=", "====", "Zm 9v", "-_8=", "Zg===" } do
                same('nil "it is not base64" "encoding"', mg.decode.base64(wrong))
            end
            local all = {}
            for code = 0, 255 do all[#all + 1] = string.char(code) end
            all = table.concat(all)
            same("true true", mg.decode.base64(mg.encode.base64(all)) == all, mg.decode.hex(mg.encode.hex(all):upper()) == all)
            same('nil "it is not hexadecimal" "encoding"', mg.decode.hex("abc"))
            same('"a%20%2F" "a /"', mg.encode.url("a /"), mg.decode.url("a%20%2F"))]]
    end)

    it("makes digests, signatures and UUIDs", function()
        check [[
            local hex = mg.encode.hex
            same('"a9993e364706816aba3e25717850c26c9cd0d89d"', hex(mg.crypto.sha1("abc")))
            same('"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"', hex(mg.crypto.sha256("abc")))
            same('"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"',
                hex(mg.crypto.hmac("sha256", "Jefe", "what do ya want for nothing?")))
            same("48 64", #mg.crypto.sha384(""), #mg.crypto.sha512(""))
            fails("there is no digest", mg.crypto.hmac, "md4", "", "")
            same("true false false", mg.crypto.equal("ab", "ab"), mg.crypto.equal("ab", "ac"), mg.crypto.equal("ab", "abc"))
            same("0 65536", #mg.crypto.random(0), #mg.crypto.random(65536))
            same("false", mg.crypto.random(16) == mg.crypto.random(16))
            same("true", mg.crypto.uuid():match("^%x+%-%x%x%x%x%-4%x%x%x%-[89ab]%x%x%x%-%x+$") ~= nil)
            local a = mg.crypto.uuid7()
            same("true 36", a:match("^%x+%-%x%x%x%x%-7%x%x%x%-[89ab]%x%x%x%-%x+$") ~= nil, #a)
            same('"Sun, 06 Nov 1994 08:49:37 GMT" 784111777', mg.encode.date(784111777), mg.decode.date("Sunday, 06-Nov-94 08:49:37 GMT"))
            same('nil "it is not a date of HTTP" "encoding"', mg.decode.date("tomorrow"))]]
    end)

    it("encrypts, and refuses what was changed", function()
        check [[
            local key = ("\0"):rep(32)
            same('""', mg.crypto.decrypt(key, ("\0"):rep(12) .. mg.decode.hex("530f8afbc74536b9a963b4f1c4cb738b"))) -- of the GCM specification
            local sealed = mg.crypto.encrypt(key, "text", "with")
            same('"text"', mg.crypto.decrypt(key, sealed, "with"))
            same('nil "it was not made with this key, or was changed since" "sealed"', mg.crypto.decrypt(key, sealed, "other"))
            for at = 1, #sealed do
                local changed = sealed:sub(1, at - 1) .. string.char((sealed:byte(at) + 1) % 256) .. sealed:sub(at + 1)
                same("nil", (mg.crypto.decrypt(key, changed, "with")))
                same("nil", (mg.crypto.decrypt(key, sealed:sub(1, at - 1), "with")))
            end
            fails("expected 32 bytes, got 5", mg.crypto.encrypt, "short", "text")]]
    end)

    it("signs and seals for cookies, with secrets that can be replaced", function()
        check [[
            local old, new = ("o"):rep(16), ("n"):rep(16)
            for make, read in pairs { [mg.crypto.sign] = mg.crypto.verify, [mg.crypto.seal] = mg.crypto.open } do
                local text = make(old, "user=1\0", "session")
                same("true", text:match("^[%w._-]+$") ~= nil)
                same('"user=1\\0"', read({ new, old }, text, "session"))
                same("nil", (read(new, text, "session")))
                same("nil", (read(old, text, "other")))
                same("nil", (read(old, text:sub(1, -2), "session")))
                same("nil", (read(old, "", "session")))
                same('"x"', read(old, make(old, "x", nil, "1h")))
                same('nil "its time is over" "expired"', read(old, make(old, "x", nil, 0)))
            end
            fails("at least 16 bytes", mg.crypto.sign, "short", "x")]]
    end)

    it("keeps what was asked for last", function()
        check [[
            local lru = mg.lru(2)
            lru:set("a", 1) lru:set("b", 2)
            same("1", lru:get("a"))
            lru:set("c", 3)
            same("nil 1 3 2", lru:get("b"), lru:get("a"), lru:get("c"), lru.count)
            lru:set("a", 9, "1ms")
            mg.sleep("20ms")
            same("nil 1", lru:get("a"), lru.count)
            same("true false", lru:delete("c"), lru:delete("c"))
            lru:set("d", false) lru:set("d", nil)
            same("0", lru.count)
            fails("whole number", mg.lru, 0)]]
    end)
end)
