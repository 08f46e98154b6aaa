local ffi = require "ffi"
local c = require "t.support.c"
c.header("net/net.h", "http/head.h", "file/serve.h")
local lib = c.lib()
lib.http_head_select(0)

local MODIFIED = 1600000000 -- Sun, 13 Sep 2020 12:26:40 GMT
local DATE, LATER, EARLIER = "Sun, 13 Sep 2020 12:26:40 GMT", "Sun, 13 Sep 2020 12:26:41 GMT", "Sun, 13 Sep 2020 12:26:39 GMT"
local ETAG = '"3e8-5f5e10000000007b-2a"'

--- The answer for a file of 1000 bytes to a request with these field lines.
local function decide(lines, o)
    o = o or {}
    local text = (o.method or "GET") .. " /f HTTP/1.1\r\nHost: a\r\n" .. (lines ~= "" and lines .. "\r\n" or "") .. "\r\n"
    local bytes = ffi.new("char[?]", #text + 64)
    ffi.copy(bytes, text, #text)
    local scan, progress, head = ffi.new("struct http_scan"), ffi.new("struct http_head_progress"), ffi.new("struct http_head")
    local reason = ffi.new("const char *[1]")
    lib.http_scan_begin(scan, bytes, #text)
    assert(lib.http_request_parse(scan, 0, ffi.new("struct http_head_limits", { 60000, 61440, 128 }), progress, head, reason) == #text)
    local entry = ffi.new("struct file_entry", { size = o.size or 1000, mtime_s = o.mtime or MODIFIED, mtime_ns = 123, inode = 42 })
    entry.type = ffi.new("struct slice", { "text/plain", 10 })
    local answer = ffi.new("struct file_answer")
    lib.file_decide(entry, head, bytes, o.now or MODIFIED + 1000, answer)
    local fields, field = {}, answer.fields
    while field ~= nil do
        fields[ffi.string(field.name.at, field.name.bytes)] = ffi.string(field.value.at, field.value.bytes)
        field = field.next
    end
    return { status = answer.status, offset = tonumber(answer.offset), length = tonumber(answer.length), fields = fields,
             type = ffi.string(answer.type.at, answer.type.bytes) }
end

local function status(lines, o) return decide(lines, o).status end

describe("a file's answer", function()
    it("is the whole file with its validators", function()
        local a = decide("")
        assert.same({ status = 200, offset = 0, length = 1000, type = "text/plain",
            fields = { ETag = ETAG, ["Last-Modified"] = DATE, ["Accept-Ranges"] = "bytes" } }, a)
    end)

    it("is the same for HEAD, and 405 with Allow for other methods", function()
        assert.same(decide(""), decide("", { method = "HEAD" }))
        local a = decide("", { method = "DELETE" })
        assert.same({ 405, "GET, HEAD", 0 }, { a.status, a.fields.Allow, a.length })
    end)

    it("has an entity-tag that is weak while the file may still change within its second", function()
        assert.equal("W/" .. ETAG, decide("", { now = MODIFIED + 0.9 }).fields.ETag)
        assert.equal(ETAG, decide("", { now = MODIFIED + 1.1 }).fields.ETag)
    end)

    it("never was modified in the future, and says nothing of times before 1970", function()
        assert.equal(EARLIER, decide("", { now = MODIFIED - 1 }).fields["Last-Modified"])
        assert.is_nil(decide("", { mtime = -1 }).fields["Last-Modified"])
    end)

    it("has another entity-tag for another size, time or file", function()
        local tags = {}
        for _, o in ipairs { {}, { size = 1001 }, { mtime = MODIFIED + 1 } } do tags[decide("", o).fields.ETag] = true end
        local count = 0
        for _ in pairs(tags) do count = count + 1 end
        assert.equal(3, count)
    end)
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
        it(("answers %d to %s"):format(case[2], case[1]:gsub("\r\n", " and ")), function() assert.equal(case[2], status(case[1])) end)
    end

    it("keeps the validators in 304 and 412, and no content", function()
        for _, lines in ipairs { "If-None-Match: *", 'If-Match: "x"' } do
            local a = decide(lines)
            assert.same({ ETAG, DATE, 0, "" }, { a.fields.ETag, a.fields["Last-Modified"], a.length, a.type })
        end
    end)

    it("does not match a weak tag of our own strongly", function()
        assert.equal(412, status("If-Match: W/" .. ETAG, { now = MODIFIED }))
        assert.equal(412, status("If-Match: " .. ETAG, { now = MODIFIED }))
        assert.equal(304, status("If-None-Match: " .. ETAG, { now = MODIFIED }))
    end)
end)

describe("a range", function()
    local function range(text, o)
        local a = decide("Range: " .. text, o)
        return a.status, a.offset, a.length, a.fields["Content-Range"]
    end

    for _, case in ipairs {
        { "bytes=0-0", 206, 0, 1, "bytes 0-0/1000" }, { "bytes=0-999", 206, 0, 1000, "bytes 0-999/1000" },
        { "bytes=0-1000", 206, 0, 1000, "bytes 0-999/1000" }, { "bytes=999-", 206, 999, 1, "bytes 999-999/1000" },
        { "bytes=500-599", 206, 500, 100, "bytes 500-599/1000" }, { "bytes=-1", 206, 999, 1, "bytes 999-999/1000" },
        { "bytes=-1000", 206, 0, 1000, "bytes 0-999/1000" }, { "bytes=-1001", 206, 0, 1000, "bytes 0-999/1000" },
        { "BYTES=1-1", 206, 1, 1, "bytes 1-1/1000" }, { "bytes=1-99999999999999999999999", 206, 1, 999, "bytes 1-999/1000" },
        { "bytes=1000-", 416, 0, 0, "bytes */1000" }, { "bytes=1000-2000", 416, 0, 0, "bytes */1000" },
        { "bytes=-0", 416, 0, 0, "bytes */1000" }, { "bytes=99999999999999999999999-", 416, 0, 0, "bytes */1000" },
    } do
        it("is met for " .. case[1], function() assert.same({ unpack(case, 2) }, { range(case[1]) }) end)
    end

    for _, text in ipairs { "bytes=0-1,3-4", "bytes=5-4", "bytes=", "bytes=-", "bytes=a-b", "bytes=1", "bytes 0-1", "lines=0-1", "bytes=1-2x",
                            "bytes=1- 2", "bytes= 1-2", "bytes=--1", "bytes=0x1-2", "bytes=-1-2" } do
        it(("is ignored for %q"):format(text), function() assert.same({ 200, 0, 1000 }, { range(text) }) end)
    end

    it("of an empty file is outside, or the whole of nothing", function()
        assert.same({ 416, 0, 0, "bytes */0" }, { range("bytes=0-", { size = 0 }) })
        assert.same({ 200, 0, 0 }, { range("bytes=-5", { size = 0 }) })
    end)

    it("is for GET alone, and for one line", function()
        assert.equal(200, (range("bytes=0-1", { method = "HEAD" })))
        assert.equal(200, status("Range: bytes=0-1\r\nRange: bytes=0-1"))
    end)

    it("holds only for what If-Range names, strongly", function()
        for value, expected in pairs {
            [ETAG] = 206, ["W/" .. ETAG] = 200, ['"x"'] = 200, [DATE] = 206, [LATER] = 200, [EARLIER] = 200, ["nonsense"] = 200,
        } do
            assert.equal(expected, status("If-Range: " .. value .. "\r\nRange: bytes=0-1"))
        end
        assert.equal(200, status("If-Range: " .. DATE .. "\r\nRange: bytes=0-1", { now = MODIFIED + 0.5 }))
        assert.equal(200, status("If-Range: " .. ETAG .. "\r\nRange: bytes=0-1", { now = MODIFIED + 0.5 }))
        assert.equal(200, status('If-Range: "x"\r\nRange: bytes=5000-'))
    end)
end)
