local worker = require("t.support.fake_worker").install()
local form = require "moongate.form"
local query = require "moongate.query"

local function pieces_of(text, size)
    local at = 1
    return function()
        if at > #text then return nil end
        local piece = text:sub(at, at + size - 1)
        at = at + size
        return piece
    end
end

local function request(content_type, text, headers)
    headers = headers or {}
    headers["content-type"] = content_type
    return { headers = headers, text = function() return text end, chunks = function() return pieces_of(text, 16) end }
end

local function field(name, value) return ('--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'):format(name, value) end
local function file(name, filename, content)
    return ('--b\r\nContent-Disposition: form-data; name="%s"; filename="%s"\r\nContent-Type: image/png\r\n\r\n%s\r\n'):format(name, filename, content)
end
local MULTIPART = "multipart/form-data; boundary=b"
local function read(text, options) return form.read(request(MULTIPART, text .. "--b--\r\n"), options) end

describe("form", function()
    it("reads urlencoded fields", function()
        local fields, files = form.read(request("application/x-www-form-urlencoded; charset=utf-8", "a=1&b=x+y&a=2"))
        assert.same("1", fields.a)
        assert.same({ "1", "2" }, query.all(fields, "a"))
        assert.same("x y", fields.b)
        assert.same({}, files)
    end)

    it("passes failures of an urlencoded body on", function()
        local req = request("application/x-www-form-urlencoded", "")
        req.text = function() return nil, "too long", 413 end
        assert.same({ n = 3, nil, "too long", 413 }, { n = 3, form.read(req) })
        assert.equal(400, (select(3, form.read(request("application/x-www-form-urlencoded", ("a&"):rep(1001))))))
    end)

    it("reads multipart fields and files, several of one name too", function()
        local fields, files = read(field("a", "1") .. file("f", "x.png", "\0png") .. field("a", "2") .. file("f", "y.png", ""))
        assert.equal("1", fields.a)
        assert.same({ "1", "2" }, query.all(fields, "a"))
        assert.same({ name = "f", filename = "x.png", content_type = "image/png", content = "\0png", bytes = 4 }, files.f)
        assert.equal("y.png", query.all(files, "f")[2].filename)
        assert.is_nil(fields.f)
    end)

    it("leaves out a file input in which nothing was chosen", function()
        local fields, files = read(field("a", "1") .. file("f", "", ""))
        assert.same({ a = "1" }, fields)
        assert.same({}, files)
        assert.equal("x", select(2, read(file("f", "", "x"))).f.content)
    end)

    it("gives files to on_file, which may read or skip them", function()
        local seen = {}
        local fields, files = read(file("f", "x", "content") .. file("skipped", "y", "more") .. field("a", "1") .. file("none", "", ""), {
            on_file = function(part)
                seen[#seen + 1] = part.name
                if part.name == "f" then return #part:text() end
            end,
        })
        assert.same({ "f", "skipped" }, seen)
        assert.same({ a = "1" }, fields)
        assert.same({ f = 7 }, files)
    end)

    it("fails with on_file", function()
        assert.same({ n = 3, nil, "no space", 507 }, { n = 3, read(file("f", "x", "y"), { on_file = function() return nil, "no space", 507 end }) })
        assert.same({ n = 3, nil, "no", 400 }, { n = 3, read(file("f", "x", "y"), { on_file = function() return nil, "no" end }) })
    end)

    it("bounds a field, a file and all together, at the limit and beyond it", function()
        assert.is_table((read(field("a", "12345678"), { field = 8 })))
        assert.same({ n = 3, nil, 'field "a" is longer than 7 bytes', 413 }, { n = 3, read(field("a", "12345678"), { field = 7 }) })
        assert.is_table((read(file("a", "x", "12345678"), { file = "8b" })))
        assert.same({ n = 3, nil, 'file "a" is longer than 7 bytes', 413 }, { n = 3, read(file("a", "x", "12345678"), { file = 7 }) })
        local both = field("a", "1234") .. file("f", "x", "5678")
        assert.is_table((read(both, { total = 8 })))
        assert.equal(413, (select(3, read(both, { total = 7 }))))
        local free = { total = 4, on_file = function(part) return #part:text() end }
        assert.is_table((read(both, free)))
        assert.equal(413, (select(3, read(file("f", "x", ("x"):rep(1048577))))))
        assert.equal(413, (select(3, read(field("f", ("x"):rep(65537))))))
        assert.is_table((read(field("f", ("x"):rep(65536)))))
    end)

    it("answers 415 for another type and 400 for a bad form", function()
        for _, content_type in ipairs { "text/plain", "application/json", "nonsense" } do
            local fields, message, status = form.read(request(content_type, ""))
            assert.is_nil(fields)
            assert.matches("expected a form", message)
            assert.equal(415, status)
        end
        assert.equal(415, (select(3, form.read(request(nil, "")))))
        assert.equal(400, (select(3, form.read(request("multipart/form-data", "")))))
        assert.equal(400, (select(3, form.read(request(MULTIPART, field("a", "1"))))))
        assert.same({ n = 3, nil, "expected multipart/form-data, got text/plain", 415 }, { n = 3, form.parts(request("text/plain", "")) })
    end)

    it("raises for options that it does not know", function()
        for _, options in ipairs { { fields = 1 }, { field = "big" }, { on_file = 7 } } do
            local ok, message = pcall(read, field("a", "1"), options)
            assert.is_false(ok)
            assert.matches("form: ", message)
        end
    end)

    it("gives the parts themselves", function()
        local names = {}
        for part in form.parts(request(MULTIPART, field("a", "1") .. file("f", "x", "y") .. "--b--")) do names[#names + 1] = part.name end
        assert.same({ "a", "f" }, names)
    end)

    describe("inflated", function()
        local function inflated(coding, text, limit) return form.inflated(request(nil, text, { ["content-encoding"] = coding }), limit) end

        it("counts content that is not compressed", function()
            for _, coding in ipairs { "identity", " Identity " } do
                local text = {}
                for piece in inflated(coding, ("x"):rep(100), 100) do text[#text + 1] = piece end
                assert.equal(100, #table.concat(text))
            end
            local next_piece = inflated(nil, ("x"):rep(100), 99)
            local piece, message, status
            repeat piece, message, status = next_piece() until not piece
            assert.equal("the content is longer than 99 bytes", message)
            assert.equal(413, status)
        end)

        it("answers 415 for codings that it does not know", function()
            for _, coding in ipairs { "br", "gzip, gzip", "" } do
                local next_piece, message, status = inflated(coding, "x")
                assert.is_nil(next_piece)
                assert.matches("is not supported", message)
                assert.equal(415, status)
            end
        end)

        it("picks the inflater for gzip and deflate", function()
            local asked = {}
            package.loaded["moongate.inflate"] = { reader = function(_, limit, raw) asked[#asked + 1] = { limit, raw or false } end }
            inflated("gzip", "x", "1k")
            inflated("X-GZIP", "x")
            inflated("deflate", "x", 5)
            package.loaded["moongate.inflate"] = nil
            assert.same({ { 1024, false }, { 10485760, false }, { 5, false } }, asked)
        end)
    end)

    it("leaves nothing waiting", function() assert.equal(0, #worker.timers) end)
end)
