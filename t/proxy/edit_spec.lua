--- Fields that are set or taken away before a request is forwarded.
local ffi = require "ffi"
local c = require "t.support.c"
c.header("proxy/edit.h")
local lib = c.lib()

local function slice(text) return ffi.new("struct slice", { text, #text }) end
local function text_of(part) return ffi.string(part.at, part.bytes) end

describe("edits of a request's fields", function()
    it("speak of names in any case, set ones and those taken away", function()
        local edits = "X-Set: a\nx-gone\n"
        assert.equal(1, lib.edits_name(slice(edits), slice "x-set"))
        assert.equal(1, lib.edits_name(slice(edits), slice "X-GONE"))
        assert.equal(0, lib.edits_name(slice(edits), slice "x-go"))
        assert.equal(0, lib.edits_name(slice(edits), slice "x-gone2"))
        assert.equal(0, lib.edits_name(slice "", slice "x"))
    end)

    it("are given one after the other, without those that are taken away", function()
        local edits, name, value, found = slice "a: 1\ngone\nb:2\nempty:\nc:  3", ffi.new "struct slice", ffi.new "struct slice", {}
        while lib.edits_next(edits, name, value) == 1 do found[#found + 1] = text_of(name) .. "=" .. text_of(value) end
        assert.same({ "a=1", "b=2", "empty=", "c= 3" }, found)
    end)

    it("must be fields that a script may send", function()
        for _, fine in ipairs { "", "x: 1\n", "x\n", "x:\n", "accept-encoding\n", "cookie: a=b\nauthorization: x\n", "x: \195\164\tb\n" } do
            assert.equal(0, lib.edits_check(slice(fine)), fine)
        end
        for _, wrong in ipairs { "\n", ": x\n", "x y: 1\n", "x: a\rb\n", "x: a\0b\n", "Host: a\n", "content-length: 1\n", "Transfer-Encoding: chunked\n",
            "connection: x\n", "upgrade\n", "te: x\n", "trailer: x\n", "expect: x\n", "keep-alive: 1\n", "X-Forwarded-For: 1.2.3.4\n", "x: 1\nhost\n" } do
            assert.equal(-22, lib.edits_check(slice(wrong)), wrong)
        end
    end)
end)
