local ffi = require "ffi"
local c = require "t.support.c"
c.header("http/render.h")
local lib = c.lib()

local function format(second)
    local out = ffi.new("char[30]")
    out[29] = 0x55
    lib.http_date_format(out, second)
    assert.equal(0x55, out[29])
    return ffi.string(out, 29)
end
local function parse(text) return tonumber(lib.http_date_parse(text, #text)) end

local LAST = 253402300799
local names = { "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday" }

--- The three forms by another way: os.date.
local function fixdate(second) return os.date("!%a, %d %b %Y %H:%M:%S GMT", second) end
local function asctime(second) return os.date("!%a %b %e %H:%M:%S %Y", second) end
local function rfc850(second) return os.date("!%A, %d-%b-%y %H:%M:%S GMT", second) end

describe("a date", function()
    for text, second in pairs {
        ["Thu, 01 Jan 1970 00:00:00 GMT"] = 0, ["Sun, 06 Nov 1994 08:49:37 GMT"] = 784111777,
        ["Tue, 29 Feb 2000 12:00:00 GMT"] = 951825600, ["Wed, 01 Mar 2000 00:00:00 GMT"] = 951868800,
        ["Tue, 19 Jan 2038 03:14:08 GMT"] = 2147483648, ["Sun, 28 Feb 2100 23:59:59 GMT"] = 4107542399,
        ["Mon, 01 Mar 2100 00:00:00 GMT"] = 4107542400, ["Fri, 31 Dec 9999 23:59:59 GMT"] = LAST,
    } do
        it("is " .. text, function()
            assert.equal(text, format(second))
            assert.equal(second, parse(text))
        end)
    end

    it("goes there and back on every day from 1970 to 2110", function()
        for day = 0, 51134 do
            local second = day * 86400 + (day * 7919) % 86400
            local text = format(second)
            assert.equal(fixdate(second), text)
            assert.equal(second, parse(text))
            assert.equal(second, parse(asctime(second)))
        end
    end)

    it("goes there and back at random seconds until 9999", function()
        math.randomseed(11)
        for _ = 1, 20000 do
            local second = math.floor(math.random() * LAST)
            assert.equal(fixdate(second), format(second))
            assert.equal(second, parse(format(second)))
        end
    end)

    it("is held between 1970 and 9999", function()
        assert.equal(format(0), format(-1))
        assert.equal(format(0), format(-2LL ^ 63))
        assert.equal(format(LAST), format(LAST + 1))
        assert.equal(format(LAST), format(0x7fffffffffffffffLL))
    end)
end)

describe("the obsolete forms", function()
    it("are read as RFC 9110 shows them", function()
        assert.equal(784111777, parse "Sunday, 06-Nov-94 08:49:37 GMT")
        assert.equal(784111777, parse "Sun Nov  6 08:49:37 1994")
        assert.equal(parse "Wed, 16 Nov 1994 08:49:37 GMT", parse "Wed Nov 16 08:49:37 1994")
    end)
    it("have two-digit years from 1970 to 2069", function()
        for year = 1970, 2069 do
            local second = parse(format((year - 1970) * 31556952 + 86400 * 40))
            assert.equal(second, parse(rfc850(second)))
        end
        assert.equal(0, parse "Thursday, 01-Jan-70 00:00:00 GMT")
        assert.equal(parse "Tue, 31 Dec 2069 00:00:00 GMT", parse "Tuesday, 31-Dec-69 00:00:00 GMT")
    end)
    it("know every weekday", function()
        for i, name in ipairs(names) do
            local second = 784111777 + (i - 1) * 86400
            assert.equal(name, (rfc850(second):match "^%a+"))
            assert.equal(second, parse(rfc850(second)))
        end
    end)
end)

describe("what is not a date", function()
    for _, text in ipairs {
        "", "0", "784111777", "GMT", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 06 Nov 1994 08:49:37 gmt",
        "sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 nov 1994 08:49:37 GMT", "Mon, 06 Nov 1994 08:49:37 GMT", "Sun; 06 Nov 1994 08:49:37 GMT",
        "Sun, 6 Nov 1994 08:49:37 GMT", "Sun,  6 Nov 1994 08:49:37 GMT", "Sun,06 Nov 1994 08:49:37 GMT ", "Sun, 06 Nov 1994 08:49:37 GMT ",
        " Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06-Nov-1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:00:00 GMT", "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT", "Sun, 06 Nov 1994 8:49:37 GMT", "Sun, 06 Nov 1994 08.49.37 GMT", "Sun, 06 Nov 1994 08:49:3x GMT",
        "Sun, 0x Nov 1994 08:49:37 GMT", "Sun, 06 Nov 19x4 08:49:37 GMT", "Sun, 06 Nov 1994 -8:49:37 GMT", "Sun, 06 Nov +994 08:49:37 GMT",
        "Mon, 00 Nov 1994 08:49:37 GMT", "Thu, 31 Nov 1994 08:49:37 GMT", "Tue, 32 Oct 1994 08:49:37 GMT", "Wed, 29 Feb 1995 00:00:00 GMT",
        "Mon, 29 Feb 2100 00:00:00 GMT", "Wed, 31 Dec 1969 23:59:58 GMT", "Mon, 01 Jan 1900 00:00:00 GMT", "Sat, 01 Jan 0000 00:00:00 GMT",
        "Sunday, 06-Nov-94 08:49:37 UTC", "Sun, 06-Nov-94 08:49:37 GMT", "Monday, 06-Nov-94 08:49:37 GMT", "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sunday, 06 Nov 94 08:49:37 GMT", "Sundays, 06-Nov-94 08:49:37 GMT", "Sunday, 6-Nov-94 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37",
        "Sun Nov 6 08:49:37 1994", "Sun Nov  6 08:49:37 94", "Mon Nov  6 08:49:37 1994", "Sun Nov  6 08:49:37 1994 ", "Sun Nov x6 08:49:37 1994",
        "Sun Nov  x 08:49:37 1994", "Sun, Nov 6 08:49:37 1994", "Sun Nov   08:49:37 1994x", "Sun Nov  6 08:49:37.1994", ("x"):rep(29), ("x"):rep(24),
        ("\0"):rep(29),
    } do
        it(("is %q"):format(text), function() assert.equal(-1, parse(text)) end)
    end
    it("is any date that lacks its end or has one byte changed to another kind", function()
        for _, text in ipairs { "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994" } do
            assert.equal(784111777, parse(text))
            for n = 1, #text do
                assert.equal(-1, parse(text:sub(1, n - 1)), text:sub(1, n - 1))
                local changed = text:sub(1, n - 1) .. "!" .. text:sub(n + 1)
                assert.equal(-1, parse(changed), changed)
            end
        end
    end)
    it("but a leap second is one, and counts as the next", function()
        assert.equal(parse "Sun, 01 Jan 2017 00:00:00 GMT", parse "Sat, 31 Dec 2016 23:59:60 GMT")
    end)
end)
