local ffi = require "ffi"
local c = require "t.support.c"
c.header("net/net.h", "http/head.h", "file/serve.h")
local lib = c.lib()
lib.http_head_select(0)

local MODIFIED = 1600000000 -- Sun, 13 Sep 2020 12:26:40 GMT
local DATE, LATER, EARLIER = "Sun, 13 Sep 2020 12:26:40 GMT", "Sun, 13 Sep 2020 12:26:41 GMT", "Sun, 13 Sep 2020 12:26:39 GMT"
local ETAG = '"3e8-5f5e10000000007b-2a"'

--- A request's head with these field lines, and its bytes.
local function head_of(lines, method)
    local text = (method or "GET") .. " /f HTTP/1.1\r\nHost: a\r\n" .. (lines ~= "" and lines .. "\r\n" or "") .. "\r\n"
    local bytes = ffi.new("char[?]", #text + 64)
    ffi.copy(bytes, text, #text)
    local scan, progress, head = ffi.new("struct http_scan"), ffi.new("struct http_head_progress"), ffi.new("struct http_head")
    local reason = ffi.new("const char *[1]")
    lib.http_scan_begin(scan, bytes, #text)
    assert(lib.http_request_parse(scan, 0, ffi.new("struct http_head_limits", { 60000, 61440, 128 }), progress, head, reason) == #text)
    return head, bytes
end

--- The verdict on a file of 1000 bytes.
local function judge(lines, o)
    o = o or {}
    local head, bytes = head_of(lines, o.method)
    local version = ffi.new("struct file_version", { size = o.size or 1000, modified_s = o.modified or MODIFIED, etag_bytes = #ETAG })
    ffi.copy(version.etag, ETAG)
    local verdict = ffi.new("struct file_verdict")
    lib.file_judge(version, head, bytes, o.now or MODIFIED + 1000, verdict)
    local ranges = {}
    for at = 0, verdict.range_count - 1 do
        ranges[at + 1] = ("%d-%d"):format(tonumber(verdict.ranges[at].first), tonumber(verdict.ranges[at].last))
    end
    return verdict.status, table.concat(ranges, ",")
end

local status = judge

--- The codings that a client likes, in its order.
local function liked(value)
    local head, bytes = head_of(value and "Accept-Encoding: " .. value or "")
    local found, names = ffi.new("struct file_liking[3]"), { [0] = "zstd", "br", "gzip" }
    local count = lib.file_codings_liked(head, bytes, found)
    local list = {}
    for at = 0, count - 1 do list[at + 1] = names[found[at].coding] end
    return table.concat(list, " ")
end

describe("a request without conditions", function()
    it("gets the whole file, by GET and by HEAD", function()
        assert.same({ 200, "" }, { judge("") })
        assert.same({ 200, "" }, { judge("Range: bytes=0-1", { method = "HEAD" }) })
    end)
end)

describe("codings", function()
    for _, case in ipairs {
        { nil, "" }, { "gzip", "gzip" }, { "gzip, deflate, br, zstd", "zstd br gzip" }, { "gzip;q=1, br;q=0.5", "gzip br" }, { "*", "zstd br gzip" },
        { "br;q=0, *", "zstd gzip" }, { "gzip;q=0", "" }, { "x-gzip", "gzip" }, { "GZIP;Q=0.5", "gzip" }, { "identity", "" },
        { "identity;q=0.5, gzip;q=0.4, br", "br" }, { "identity;q=0, gzip;q=0.001", "gzip" }, { "gzip;q=1.5, br;q=x, zstd;q=0.1234", "" },
        { "gzip;level=9", "" }, { ",, gzip ,", "gzip" }, { "br;q=0.2,gzip;q=0.2,zstd;q=0.3", "zstd br gzip" }, { "gzip;q=0, gzip", "" }, { "gzipped", "" },
    } do
        it(("of %s are %s"):format(case[1] or "nothing said", case[2] == "" and "none" or case[2]), function() assert.equal(case[2], liked(case[1])) end)
    end
end)

describe("a condition", function()
    for _, case in ipairs {
        -- If-None-Match: weak comparison, lists, several lines
        { "If-None-Match: " .. ETAG, 304 }, { "If-None-Match: W/" .. ETAG, 304 }, { "If-None-Match: *", 304 },
        { 'If-None-Match: "x", ' .. ETAG, 304 }, { 'If-None-Match: "a,b",W/"c" , ' .. ETAG .. " ,", 304 },
        { 'If-None-Match: "x"\r\nIf-None-Match: ' .. ETAG, 304 }, { 'If-None-Match: "x"', 200 }, { "If-None-Match: " .. ETAG:sub(2, -2), 200 },
        { 'If-None-Match: "x" "', 200 }, { "If-None-Match: w/" .. ETAG, 200 }, { "If-None-Match: " .. ETAG:sub(1, -2), 200 },
        -- If-Match: strong
        { "If-Match: " .. ETAG, 200 }, { "If-Match: *", 200 }, { 'If-Match: "x", ' .. ETAG, 200 }, { "If-Match: W/" .. ETAG, 412 },
        { 'If-Match: "x"', 412 },
        -- dates
        { "If-Modified-Since: " .. DATE, 304 }, { "If-Modified-Since: " .. LATER, 304 }, { "If-Modified-Since: " .. EARLIER, 200 },
        { "If-Modified-Since: yesterday", 200 }, { "If-Modified-Since: " .. DATE .. "\r\nIf-Modified-Since: " .. DATE, 200 },
        { "If-Modified-Since: Sunday, 13-Sep-20 12:26:40 GMT", 304 }, { "If-Modified-Since: Sun Sep 13 12:26:40 2020", 304 },
        { "If-Unmodified-Since: " .. DATE, 200 }, { "If-Unmodified-Since: " .. LATER, 200 }, { "If-Unmodified-Since: " .. EARLIER, 412 },
        { "If-Unmodified-Since: never", 200 },
        -- precedence (RFC 9110 §13.2.2)
        { "If-Match: " .. ETAG .. "\r\nIf-Unmodified-Since: " .. EARLIER, 200 },
        { 'If-None-Match: "x"\r\nIf-Modified-Since: ' .. DATE, 200 },
        { 'If-Match: "x"\r\nIf-None-Match: ' .. ETAG, 412 },
        { "If-Match: " .. ETAG .. "\r\nIf-None-Match: " .. ETAG, 304 },
        { "If-Unmodified-Since: " .. DATE .. "\r\nIf-Modified-Since: " .. DATE, 304 },
        { "If-None-Match: " .. ETAG .. "\r\nRange: bytes=0-1", 304 },
        { 'If-Match: "x"\r\nRange: bytes=2000-', 412 },
    } do
        it(("answers %d to %s"):format(case[2], case[1]:gsub("\r\n", " and ")), function() assert.equal(case[2], (status(case[1]))) end)
    end
end)

describe("a range", function()
    for _, case in ipairs {
        { "bytes=0-0", "0-0" }, { "bytes=0-999", "0-999" }, { "bytes=0-1000", "0-999" }, { "bytes=999-", "999-999" }, { "bytes=500-599", "500-599" },
        { "bytes=-1", "999-999" }, { "bytes=-1000", "0-999" }, { "bytes=-1001", "0-999" }, { "BYTES=1-1", "1-1" },
        { "bytes=1-99999999999999999999999", "1-999" },
        -- several: in the order asked for; those that touch become one; those outside are left out
        { "bytes=0-1,500-501", "0-1,500-501" }, { "bytes=500-501,0-1", "500-501,0-1" }, { "bytes=0-9 ,\t200-209,, -10", "0-9,200-209,990-999" },
        { "bytes=0-100,50-200", "0-200" }, { "bytes=0-10,91-100", "0-10,91-100" }, { "bytes=0-10,90-100", "0-100" },
        { "bytes=900-999,0-9,300-310,5-305", "900-999,0-310" }, { "bytes=0-1,2000-", "0-1" }, { "bytes=-0,5-5", "5-5" }, { "bytes=0-,0-,0-", "0-999" },
    } do
        it("is met for " .. case[1], function() assert.same({ 206, case[2] }, { judge("Range: " .. case[1]) }) end)
    end

    for _, text in ipairs { "bytes=1000-", "bytes=1000-2000", "bytes=-0", "bytes=99999999999999999999999-", "bytes=1000-,2000-" } do
        it("is outside for " .. text, function() assert.same({ 416, "" }, { judge("Range: " .. text) }) end)
    end

    for _, text in ipairs { "bytes=5-4", "bytes=", "bytes=-", "bytes=a-b", "bytes=1", "bytes 0-1", "lines=0-1", "bytes=1-2x", "bytes=1- 2", "bytes=--1",
                            "bytes=0x1-2", "bytes=-1-2", "bytes=,", "bytes=0-1,5-4", "bytes=0-1;2-3" } do
        it(("is ignored for %q"):format(text), function() assert.same({ 200, "" }, { judge("Range: " .. text) }) end)
    end

    it("may be one of sixteen", function()
        local parts = {}
        for at = 1, 16 do parts[at] = ("%d-%d"):format(at * 1000, at * 1000) end
        assert.equal(table.concat(parts, ","), select(2, judge("Range: bytes=" .. table.concat(parts, ","), { size = 100000 })))
        parts[17] = "99-99"
        assert.same({ 200, "" }, { judge("Range: bytes=" .. table.concat(parts, ","), { size = 100000 }) })
    end)

    it("of an empty file is outside, or the whole of nothing", function()
        assert.equal(416, (judge("Range: bytes=0-", { size = 0 })))
        assert.equal(200, (judge("Range: bytes=-5", { size = 0 })))
    end)

    it("is for GET alone, and for one line", function()
        assert.equal(200, (judge("Range: bytes=0-1", { method = "HEAD" })))
        assert.equal(200, (status("Range: bytes=0-1\r\nRange: bytes=0-1")))
    end)

    it("holds only for what If-Range names, strongly", function()
        for value, expected in pairs {
            [ETAG] = 206, ["W/" .. ETAG] = 200, ['"x"'] = 200, [DATE] = 206, [LATER] = 200, [EARLIER] = 200, ["nonsense"] = 200,
        } do
            assert.equal(expected, (status("If-Range: " .. value .. "\r\nRange: bytes=0-1")))
        end
        assert.equal(200, (status("If-Range: " .. DATE .. "\r\nRange: bytes=0-1", { now = MODIFIED + 0.5 })))
        assert.equal(200, (status('If-Range: "x"\r\nRange: bytes=5000-')))
    end)
end)
