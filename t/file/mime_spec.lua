local ffi = require "ffi"
local c = require "t.support.c"

c.header("file/mime.h")
local lib = c.lib()

local function type_of(name)
    local found = lib.mime_type(name, #name)
    return ffi.string(found.at, found.bytes)
end

local function rows()
    local found = {}
    for line in io.lines(c.root .. "/src/file/mime.tbl.h") do
        local extension, content_type = line:match('^X%("([^"]+)", "([^"]+)"%)$')
        if extension then found[#found + 1] = { extension, content_type } end
    end
    return found
end

describe("mime", function()
    it("finds every row of its table, which is sorted", function()
        local all = rows()
        assert.is_true(#all >= 80)
        for i, row in ipairs(all) do
            assert.equal(row[2], type_of("name." .. row[1]))
            assert.is_true(#row[1] <= 12)
            if i > 1 then assert.is_true(all[i - 1][1] < row[1]) end
        end
    end)

    it("knows the types of the web", function()
        local cases = {
            ["index.html"] = "text/html; charset=utf-8", ["a.css"] = "text/css; charset=utf-8", ["a.js"] = "text/javascript; charset=utf-8",
            ["a.mjs"] = "text/javascript; charset=utf-8", ["a.json"] = "application/json", ["a.svg"] = "image/svg+xml", ["a.png"] = "image/png",
            ["a.jpg"] = "image/jpeg", ["a.jpeg"] = "image/jpeg", ["a.gif"] = "image/gif", ["a.webp"] = "image/webp", ["a.avif"] = "image/avif",
            ["favicon.ico"] = "image/x-icon", ["a.swf"] = "application/x-shockwave-flash", ["a.txt"] = "text/plain; charset=utf-8",
            ["a.md"] = "text/markdown; charset=utf-8", ["a.xml"] = "application/xml", ["a.pdf"] = "application/pdf", ["a.wasm"] = "application/wasm",
            ["a.woff"] = "font/woff", ["a.woff2"] = "font/woff2", ["a.mp4"] = "video/mp4", ["a.webm"] = "video/webm", ["a.mp3"] = "audio/mpeg",
        }
        for name, expected in pairs(cases) do assert.equal(expected, type_of(name)) end
    end)

    it("looks at the last extension of the last segment, in any case", function()
        assert.equal("image/png", type_of("/a.txt/b.html.PNG"))
        assert.equal("application/gzip", type_of("x.tar.gz"))
        assert.equal("text/html; charset=utf-8", type_of(".html"))
    end)

    it("says octet-stream when the name has no extension, or one that it does not know", function()
        for _, name in ipairs { "", ".", "README", "/dir.html/README", "a.", "a.unknown", "a.htmlx", "a.htm/", "a.html\0",
                                "a.a-very-long-extension", "html" } do
            assert.equal("application/octet-stream", type_of(name))
        end
    end)
end)
