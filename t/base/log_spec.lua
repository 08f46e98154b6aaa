--- Log lines: src/base/log.c.
local c = require "t.support.c"
local ffi = require "ffi"
c.header("base/log.h")
local lib = c.lib()

local function time(seconds)
    local buffer = ffi.new("char[32]")
    lib.log_time(buffer, seconds)
    return ffi.string(buffer, lib.LOG_TIME_BYTES)
end

local function line(text, bytes, level)
    local buffer = ffi.new("char[?]", bytes or 4096)
    local count = lib.log_line(buffer, bytes or 4096, level or lib.LOG_LEVEL_INFO, 0, text, #text)
    assert.is_true(count <= (bytes or 4096))
    return ffi.string(buffer, count)
end

describe("a log line", function()
    it("tells the time in UTC with milliseconds", function()
        assert.equal("1970-01-01T00:00:00.000Z", time(0))
        assert.equal("2026-11-21T05:03:54.123Z", time(1795237434.123))
        assert.equal("9999-12-31T23:59:59.999Z", time(1e15))
        assert.equal("1970-01-01T00:00:00.000Z", time(-5))
    end)

    it("knows every day from 1970 to 2404, leap years and centuries included", function()
        local days_in = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 }
        local day = 0
        for year = 1970, 2404 do
            local leap = year % 4 == 0 and (year % 100 ~= 0 or year % 400 == 0)
            for month = 1, 12 do
                for of_month = 1, days_in[month] + (leap and month == 2 and 1 or 0) do
                    local expected = ("%04d-%02d-%02dT23:59:59.999Z"):format(year, month, of_month)
                    local got = time(day * 86400 + 86399.9992)
                    if got ~= expected then assert.equal(expected, got) end
                    day = day + 1
                end
            end
        end
    end)

    it("names its level and ends in one newline", function()
        local words = { [0] = "error", "warn", "info", "debug" }
        for level = 0, 3 do
            assert.equal("1970-01-01T00:00:00.000Z " .. words[level] .. " hello\n", line("hello", 4096, level))
        end
    end)

    it("shows control characters, so that no text can forge a line", function()
        assert.equal([[1970-01-01T00:00:00.000Z info a\nb\rc\td\x00e\x1bf\x7fg é]] .. "\n", line("a\nb\rc\td\0e\27f\127g é"))
    end)

    it("is cut and says so when it does not fit, at every size", function()
        local head = #"1970-01-01T00:00:00.000Z info "
        for bytes = lib.LOG_LINE_LEAST, 200 do
            local text = line(("x"):rep(300), bytes)
            assert.matches("^1970.- info x+%.%.%.\n$", text)
            assert.is_true(#text > bytes - 8)
            local escaped = line(("\1"):rep(300), bytes)
            assert.matches("^1970.- info [\\x01]+%.%.%.\n$", escaped)
            local fits = bytes - head - 8
            assert.equal(head + fits + 1, #line(("y"):rep(fits), bytes))
        end
    end)

    it("takes a format and bounds what it makes", function()
        local buffer = ffi.new("char[4096]")
        local count = lib.log_format(buffer, 4096, lib.LOG_LEVEL_WARN, 0, "worker %d: %s", ffi.cast("int", 2), "gone")
        assert.equal("1970-01-01T00:00:00.000Z warn worker 2: gone\n", ffi.string(buffer, count))
        count = lib.log_format(buffer, 64, lib.LOG_LEVEL_WARN, 0, "%s", ("z"):rep(5000))
        assert.matches("z%.%.%.\n$", ffi.string(buffer, count))
    end)
end)
