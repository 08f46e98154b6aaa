--- Forms over the wire: urlencoded and multipart, files in memory and as streams, inflated content.
local process = require "t.support.process"
local served = require("t.support.served").by
local json = require "cjson"

local BOUNDARY = "----boundary7"

--- A multipart body out of { name, content, filename?, type? }.
local function multipart(parts)
    local lines = {}
    for _, part in ipairs(parts) do
        lines[#lines + 1] = "--" .. BOUNDARY .. "\r\nContent-Disposition: form-data; name=\"" .. part[1] .. '"'
            .. (part[3] and '; filename="' .. part[3] .. '"' or "") .. (part[4] and "\r\nContent-Type: " .. part[4] or "") .. "\r\n\r\n" .. part[2] .. "\r\n"
    end
    return table.concat(lines) .. "--" .. BOUNDARY .. "--\r\n"
end

local MULTIPART = { ["Content-Type"] = "multipart/form-data; boundary=" .. BOUNDARY }
local URLENCODED = { ["Content-Type"] = "application/x-www-form-urlencoded" }

describe("a form", function()
    local ask, s = served [[
        local query = require "moongate.query"
        app:post("/form", { body = "20m" }, function(req)
            local fields, files, status = req:form { file = "4m" }
            if not fields then return status, files end
            local seen = {}
            for name, file in pairs(files) do seen[name] = { file.filename, file.content_type, file.bytes, #file.content } end
            return { fields = fields, files = seen, all = query.all and mg.array(query.all(fields, "many")) or nil }
        end)
        app:post("/limited", function(req)
            local fields, message, status = req:form { field = 4, file = 4 }
            if not fields then return status, message end
            return "fits"
        end)
        app:post("/stream", { body = "2g" }, function(req)
            local seen = {}
            local ok, message, status = req:form { on_file = function(part)
                local bytes = 0
                for piece in part:chunks() do bytes = bytes + #piece end
                seen[#seen + 1] = part.filename .. ":" .. bytes
                return bytes
            end }
            if not ok then return status, message end
            return table.concat(seen, " ")
        end)
        app:post("/save", { body = "2g" }, function(req)
            local folder = debug.getinfo(1, "S").source:match("^@(.*)/")
            local saved = {}
            for part in req:parts() do
                if part.filename then saved[#saved + 1] = part.name .. "=" .. part:save(folder .. "/up-" .. part.name)
                else saved[#saved + 1] = part.name .. "=" .. part:text() end
            end
            return table.concat(saved, " ")
        end)
        app:post("/inflated", { body = "1m" }, function(req)
            local pieces, message, status = req:inflated("2m")
            if not pieces then return status, message end
            local bytes = 0
            for piece in pieces do bytes = bytes + #piece end
            return tostring(bytes)
        end)
    ]]

    local function post(target, body, fields) return ask("POST", target, fields, body) end

    --- gzip of a text, by the program of that name.
    local function gzip(text)
        local path = s.server.folder .. "/packed"
        process.write_file(path, text)
        assert.equal(0, (process.run({ "gzip", "-f", path }, 20)))
        return process.read_file(path .. ".gz")
    end

    it("may be urlencoded", function()
        local seen = json.decode(post("/form", "a=1&b=two+words&many=1&many=2&c=%26&d", URLENCODED).body)
        assert.same({ a = "1", b = "two words", many = "1", c = "&", d = "" }, seen.fields)
        assert.same({ "1", "2" }, seen.all)
        assert.same({}, json.decode(post("/form", "", URLENCODED).body).fields)
    end)

    it("may be multipart, with files", function()
        local seen = json.decode(post("/form", multipart {
            { "title", "a title" }, { "many", "1" }, { "many", "2" }, { "doc", "content\r\nof doc", "C:\\path\\doc.txt", "text/x" }, { "none", "", "" },
            { "big", ("x"):rep(3000000), "big.bin", "application/octet-stream" },
        }, MULTIPART).body)
        assert.same({ title = "a title", many = "1" }, seen.fields)
        assert.same({ "1", "2" }, seen.all)
        assert.same({ doc = { "doc.txt", "text/x", 15, 15 }, big = { "big.bin", "application/octet-stream", 3000000, 3000000 } }, seen.files)
    end)

    it("comes the same when it is cut into pieces of one byte", function()
        local content = "a--" .. BOUNDARY .. "\r\n--\r" .. BOUNDARY .. "\r\n-"
        local body = multipart { { "a", "1" }, { "f", content, "f.txt" } }
        local c = s.server:connect()
        c:send_pieces(("POST /form HTTP/1.1\r\nHost: a\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"):format(MULTIPART["Content-Type"], #body) .. body)
        local seen = json.decode(c:read().body)
        assert.equal("1", seen.fields.a)
        assert.equal(#content, seen.files.f[3])
    end)

    it("beyond a limit is 413, on both sides of it", function()
        assert.equal("fits", post("/limited", multipart { { "a", "1234" }, { "f", "1234", "f" } }, MULTIPART).body)
        assert.equal(413, post("/limited", multipart { { "a", "12345" } }, MULTIPART).status)
        assert.equal(413, post("/limited", multipart { { "f", "12345", "f" } }, MULTIPART).status)
    end)

    it("of another type or malformed is told so", function()
        assert.equal(415, post("/form", "x", { ["Content-Type"] = "text/plain" }).status)
        assert.equal(415, post("/form", "x").status)
        assert.equal(400, post("/form", "x", { ["Content-Type"] = "multipart/form-data" }).status)
        assert.equal(400, post("/form", multipart({ { "a", "1" } }):sub(1, -10), MULTIPART).status)
    end)

    it("streams its files, whatever their size", function()
        local big = ("x"):rep(10000000)
        assert.equal("one:3 two:10000000", post("/stream", multipart { { "a", "1" }, { "f", "abc", "one" }, { "g", big, "two" } }, MULTIPART).body)
        assert.equal("a=1 f=10000000", post("/save", multipart { { "a", "1" }, { "f", big, "one" } }, MULTIPART).body)
        assert.is_true(process.read_file(s.server.folder .. "/up-f") == big)
    end)

    it("or any content may be compressed; what it becomes has a limit", function()
        local packed = { ["Content-Encoding"] = "gzip" }
        assert.equal("1000000", post("/inflated", gzip(("x"):rep(1000000)), packed).body)
        assert.equal("2097152", post("/inflated", gzip(("x"):rep(2097152)), packed).body)
        assert.equal(413, post("/inflated", gzip(("x"):rep(2097153)), packed).status)
        assert.equal(413, post("/inflated", gzip(("x"):rep(100000000)), packed).status)
        assert.equal("3", post("/inflated", "abc").body)
        assert.equal(400, post("/inflated", "not gzip at all", packed).status)
        assert.equal(400, post("/inflated", gzip("abc"):sub(1, -5), packed).status)
        assert.equal(415, post("/inflated", "x", { ["Content-Encoding"] = "br" }).status)
    end)
end)
