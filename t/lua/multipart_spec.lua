local multipart = require "moongate.multipart"

--- An iterator over `text` in chunks of `size` bytes.
local function chunks_of(text, size)
    local at = 1
    return function()
        if at > #text then return nil end
        local chunk = text:sub(at, at + size - 1)
        at = at + size
        return chunk
    end
end

--- Cut once, behind byte `cut`.
local function cut_at(text, cut)
    local list, i = { text:sub(1, cut), text:sub(cut + 1) }, 0
    return function()
        i = i + 1
        return list[i]
    end
end

local function lines(...) return table.concat({ ... }, "\r\n") end

--- All parts as { name, filename, type, content }, or nil, message, status.
local function read_all(chunks, boundary)
    local found = {}
    local next_part = multipart.parts(chunks, boundary or "b")
    while true do
        local part, message, status = next_part()
        if status then return nil, message, status end
        if not part then return found end
        local text
        text, message, status = part:text("10m")
        if not text then return nil, message, status end
        found[#found + 1] = { part.name, part.filename or false, part.content_type, text }
    end
end

local function part(name, content) return ('--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'):format(name, content) end
local function refused(text, pattern, status)
    local whole, message, code = read_all(chunks_of(text, #text))
    assert.is_nil(whole)
    assert.matches(pattern, message)
    assert.equal(status or 400, code)
    -- The same wherever it is cut.
    for size = 1, math.min(#text, 9) do
        local _, again, again_code = read_all(chunks_of(text, size))
        assert.same({ message, code }, { again, again_code })
    end
end

local FORM = lines("preamble, ignored", "--bX is no delimiter here: the boundary is longer", "",
    "--b0undary", 'Content-Disposition: form-data; name="text"', "", "one", "two", "--b0undar", "\r--b0undary", "--b0undary \t",
    'content-disposition: FORM-DATA; filename="C:\\dir\\a b.txt"; name="file"', "Content-Type: image/png", "X-Other: 1", "", "\0\r\n\r\r\n--b0undar\r",
    "--b0undary", 'Content-Disposition: form-data; name="empty"', "", "", "--b0undary", 'Content-Disposition: form-data; name=bare', "",
    "--b0undary--", "epilogue, ignored", "--b0undary", "")

local EXPECTED = {
    { "text", false, "text/plain", "one\r\ntwo\r\n--b0undar\r\n\r--b0undary" },
    { "file", "a b.txt", "image/png", "\0\r\n\r\r\n--b0undar\r" },
    { "empty", false, "text/plain", "" },
    { "bare", false, "text/plain", "" },
}

describe("multipart", function()
    it("reads parts, whatever surrounds them", function()
        assert.same(EXPECTED, read_all(chunks_of(FORM, #FORM), "b0undary"))
    end)

    it("reads the same cut at every point", function()
        for cut = 1, #FORM - 1 do assert.same(EXPECTED, read_all(cut_at(FORM, cut), "b0undary")) end
    end)

    it("reads the same in chunks of every size, empty ones between", function()
        for size = 1, #FORM do assert.same(EXPECTED, read_all(chunks_of(FORM, size), "b0undary")) end
        local next_chunk, turn = chunks_of(FORM, 3), 0
        assert.same(EXPECTED, read_all(function()
            turn = turn + 1
            if turn % 2 == 0 then return "" end
            return next_chunk()
        end, "b0undary"))
    end)

    it("reads a part whose content resembles the delimiter, property", function()
        math.randomseed(11)
        local bits = { "\r", "\n", "-", "--", "b", "\r\n", "\r\n-", "\r\n--", "x" }
        for _ = 1, 300 do
            local content = {}
            for i = 1, math.random(0, 12) do content[i] = bits[math.random(#bits)] end
            content = table.concat(content)
            if not (("\r\n" .. content .. "\r\n"):find("\r\n--b", 1, true)) then
                local text = part("a", content) .. part("z", "end") .. "--b--"
                assert.same({ { "a", false, "text/plain", content }, { "z", false, "text/plain", "end" } }, read_all(chunks_of(text, math.random(1, 12))))
            end
        end
    end)

    it("refuses what breaks off, at every point", function()
        local text = part("a", "content") .. part("b", "") .. "--b--"
        for bytes = 0, #text - 1 do
            local found, message, status = read_all(chunks_of(text:sub(1, bytes), 7))
            assert.is_nil(found)
            assert.matches("ends before its last boundary", message)
            assert.equal(400, status)
        end
        assert.equal(2, #read_all(chunks_of(text, 7)))
    end)

    it("refuses malformed parts", function()
        local disposition = 'Content-Disposition: form-data; name="a"'
        refused("--b\r\n\r\nx\r\n--b--", "without a well%-formed Content%-Disposition")
        refused("--b\r\nContent-Type: a/b\r\n\r\nx\r\n--b--", "without a well%-formed")
        refused("--b\r\nContent-Disposition: attachment; name=a\r\n\r\nx\r\n--b--", "without a well%-formed")
        refused("--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--", "without a name")
        refused("--b\r\nContent-Disposition: form-data; name=a; name=b\r\n\r\nx\r\n--b--", "without a well%-formed")
        refused("--b\r\nContent-Disposition: form-data; name=\"a\r\n\r\nx\r\n--b--", "without a well%-formed")
        refused("--b\r\nContent-Disposition: form-data; name=\"a\"x\r\n\r\nx\r\n--b--", "without a well%-formed")
        refused(lines("--b", disposition, disposition, "", "x", "--b--"), "two Content%-Disposition")
        refused(lines("--b", disposition, " folded: x", "", "x", "--b--"), "malformed field")
        refused(lines("--b", disposition, "no colon", "", "x", "--b--"), "malformed field")
        refused(lines("--b", disposition, "Bad Name: x", "", "x", "--b--"), "malformed field")
        refused(lines("--b", disposition, "X: a\nb", "", "x", "--b--"), "malformed field")
        refused(lines("--b", disposition, "X: a\0b", "", "x", "--b--"), "malformed field")
        refused(lines("--bX", disposition, "", "x", "--b--"), "something other than a line end")
        refused(lines("--b-", disposition, "", "x", "--b--"), "something other than a line end")
        refused("--b\r" .. lines(disposition, "", "x", "--b--"), "bare CR")
        refused("--b\n" .. disposition .. "\n\nx\n--b--", "something other than a line end")
    end)

    it("takes a head of 8 KiB and refuses one byte more", function()
        local function with(extra)
            return lines("--b", 'Content-Disposition: form-data; name="a"', "X: " .. ("x"):rep(extra), "", "content", "--b--")
        end
        local fixed = #'Content-Disposition: form-data; name="a"' + #"\r\nX: " + 2
        for _, size in ipairs { 1, 7, 4096, 100000 } do
            assert.equal("content", read_all(chunks_of(with(8192 - fixed), size))[1][4])
            local found, message, status = read_all(chunks_of(with(8192 - fixed + 1), size))
            assert.is_nil(found)
            assert.matches("longer than 8192 bytes", message)
            assert.equal(400, status)
        end
        refused("--b" .. (" "):rep(9000), "longer than 8192 bytes")
    end)

    it("takes 1,000 parts and refuses 1,001", function()
        local text = part("a", "x"):rep(1000)
        assert.equal(1000, #read_all(chunks_of(text .. "--b--", 5000)))
        refused(text .. part("a", "x") .. "--b--", "more than 1000 parts")
    end)

    it("reads names and filenames as browsers write them", function()
        local function named(disposition)
            local found, message = read_all(chunks_of(lines("--b", "Content-Disposition: form-data; " .. disposition, "", "", "--b--"), 100))
            assert(found, message)
            return { found[1][1], found[1][2] }
        end
        assert.same({ 'say "hi"', false }, named 'name="say %22hi%22"')
        assert.same({ "a\r\nb %41", false }, named 'name="a%0D%0Ab %41"')
        assert.same({ 'a"b', "c.txt" }, named [[name="a\"b"; filename="/etc/c.txt"]])
        assert.same({ "a;b", "" }, named [[name="a;b"; filename=""]])
        assert.same({ "é", 'x".txt' }, named [[name="é"; filename="x%22.txt"; filename*=UTF-8''other.txt]])
        assert.same({ "a", "" }, named [[name="a"; filename="dir\"]])
        assert.same({ "a", ".." }, named [[name="a"; filename="../.."; ]])
    end)

    it("skips what was not read of a part", function()
        local text = part("a", ("long "):rep(1000)) .. part("b", "short") .. "--b--"
        local next_part = multipart.parts(chunks_of(text, 64), "b")
        local a = next_part()
        assert.is_string(a:read())
        local b = next_part()
        assert.equal("short", b:text())
        assert.is_nil((b:read()))
        assert.is_nil((next_part()))
        assert.is_nil((next_part()))
        assert.is_nil((b:read()))
        local ok, message = pcall(function() a:read() end)
        assert.is_false(ok)
        assert.matches('multipart_spec.lua:%d+: part "a": its content has gone by', message)
    end)

    it("bounds text(): at the limit and one byte beyond", function()
        local function text_with(limit)
            local next_part = multipart.parts(chunks_of(part("a", "12345678") .. part("b", "next") .. "--b--", 5), "b")
            local result = { next_part():text(limit) }
            return result, next_part():text()
        end
        assert.same({ "12345678" }, (text_with(8)))
        local result, after = text_with(7)
        assert.equal('part "a" is longer than 7 bytes', result[2])
        assert.equal(413, result[3])
        assert.equal("next", after)
    end)

    it("passes a failure of the source on, wherever it comes", function()
        local text = part("a", "content") .. "--b--\r\n"
        for bytes = 0, #text do
            local next_chunk = chunks_of(text:sub(1, bytes), 5)
            local found, message, status = read_all(function()
                local chunk = next_chunk()
                if chunk then return chunk end
                return nil, "too slow", 408
            end)
            assert.is_nil(found)
            assert.same({ "too slow", 408 }, { message, status })
        end
    end)

    it("raises failures in a for loop as answers, so that they are not taken for the end", function()
        local text = part("a", "content")
        local ok, failure = pcall(function()
            for each in multipart.parts(chunks_of(text, 5), "b") do each:text() end
        end)
        assert.is_false(ok)
        assert.equal(400, failure.status)
        ok, failure = pcall(function()
            for each in multipart.parts(chunks_of(text:sub(1, -5), 5), "b") do
                for _ in each:chunks() do end
            end
        end)
        assert.is_false(ok)
        assert.matches("last boundary", failure.message)
        local names = {}
        for each in multipart.parts(chunks_of(text .. "--b--", 5), "b") do
            names[#names + 1] = each.name
            for piece in each:chunks() do names[#names + 1] = piece end
        end
        assert.equal("acontent", table.concat(names))
    end)

    it("holds no more than a chunk of a file, however long that is", function()
        local chunk = ("0123456789abcde\r"):rep(4096) -- 64 KiB, ends like the beginning of a delimiter
        local sent, count = 0, 4096
        local function next_chunk()
            sent = sent + 1
            if sent == 1 then return '--b\r\nContent-Disposition: form-data; name="a"; filename="big"\r\n\r\n' end
            if sent <= count + 1 then return chunk end
            if sent == count + 2 then return "\r\n--b--" end
        end
        local bytes, most = 0, 0
        collectgarbage()
        local before = collectgarbage("count")
        for each in multipart.parts(next_chunk, "b") do
            for piece in each:chunks() do
                bytes = bytes + #piece
                if sent % 256 == 0 then
                    collectgarbage()
                    most = math.max(most, collectgarbage("count") - before)
                end
            end
        end
        assert.equal(count * #chunk, bytes)
        assert.is_true(most < 512, most .. " KiB held")
    end)

    it("saves a part through the spool", function()
        local saved
        package.loaded["moongate.spool"] = {
            write = function(path, next_piece)
                saved = { path }
                for piece in next_piece do saved[#saved + 1] = piece end
                return 7
            end,
        }
        local next_part = multipart.parts(chunks_of(part("a", "content") .. "--b--", 1000), "b")
        assert.equal(7, next_part():save("/tmp/x"))
        package.loaded["moongate.spool"] = nil
        assert.same({ "/tmp/x", "content" }, saved)
    end)

    it("finds the boundary in a content type", function()
        assert.equal("abc", multipart.boundary("multipart/form-data; boundary=abc"))
        assert.equal("a b'()+_,-./:=?", multipart.boundary([[Multipart/Form-Data; charset=utf-8; Boundary="a b'()+_,-./:=?"]]))
        assert.equal(70, #multipart.boundary("multipart/form-data; boundary=" .. ("x"):rep(70)))
        for content_type, status in pairs {
            ["multipart/form-data"] = 400, ["multipart/form-data; boundary="] = 415, ['multipart/form-data; boundary=""'] = 400,
            ['multipart/form-data; boundary="a "'] = 400, ['multipart/form-data; boundary="a;b"'] = 400,
            ["multipart/form-data; boundary=" .. ("x"):rep(71)] = 400, ["multipart/mixed; boundary=a"] = 415, ["text/plain"] = 415, [""] = 415,
        } do
            local boundary, message, code = multipart.boundary(content_type)
            assert.is_nil(boundary)
            assert.is_string(message)
            assert.equal(status, code)
        end
        assert.equal(415, (select(3, multipart.boundary(nil))))
    end)
end)
