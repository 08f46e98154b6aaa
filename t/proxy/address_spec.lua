local ffi = require "ffi"
local c = require "t.support.c"
c.header("proxy/address.h")
local lib = c.lib()

local function resolve(text, room)
    local found = ffi.new("struct proxy_address[16]")
    local message = ffi.new("char[256]")
    local count = lib.address_resolve(text, #text, found, room or 16, message, 256)
    return count, ffi.string(message), found
end

--- Family, and port of the internet families, out of the socket address.
local function parts(address)
    local bytes = ffi.cast("const uint8_t *", address.storage)
    return ffi.cast("const uint16_t *", address.storage)[0], bytes[2] * 256 + bytes[3]
end

describe("address", function()
    it("reads addresses and ports of both families", function()
        for text, expected in pairs { ["127.0.0.1:9000"] = { 2, 9000 }, ["[::1]:80"] = { 10, 80 }, ["0.0.0.0:1"] = { 2, 1 },
                                      ["10.0.0.7:65535"] = { 2, 65535 } } do
            local count, _, found = resolve(text)
            assert.equal(1, count)
            assert.same(expected, { parts(found[0]) })
            assert.equal(text, ffi.string(found[0].label))
        end
    end)

    it("takes a name for all its addresses, and shows them in the label", function()
        local count, _, found = resolve("localhost:8080")
        assert.is_true(count >= 1)
        for i = 0, count - 1 do
            assert.equal(8080, (select(2, parts(found[i]))))
            assert.matches("^localhost:8080 %([%d%.:]+%)$", ffi.string(found[i].label))
        end
        assert.equal(1, (resolve("localhost:8080", 1)))
    end)

    it("reads socket paths, and holds them to what the kernel takes", function()
        local longest = "/" .. ("p"):rep(106)
        local count, _, found = resolve("unix:" .. longest)
        assert.equal(1, count)
        assert.equal(1, (parts(found[0])))
        assert.equal(longest, ffi.string(ffi.cast("const char *", found[0].storage) + 2))
        local refused, message = resolve("unix:" .. longest .. "p")
        assert.equal(-22, refused)
        assert.matches("107 bytes", message)
    end)

    for text, why in pairs {
        [""] = "expected host:port", ["10.0.0.1"] = "expected host:port", [":80"] = "expected host:port",
        ["10.0.0.1:"] = "from 1 to 65535", ["10.0.0.1:0"] = "from 1 to 65535", ["10.0.0.1:65536"] = "from 1 to 65535",
        ["10.0.0.1:8o"] = "from 1 to 65535", ["10.0.0.1:+8"] = "from 1 to 65535", ["::1:80"] = "in brackets",
        ["[::1]"] = "in brackets", ["http://a:80"] = "without a scheme", ["a b:80"] = "expected host:port",
        ["a/b:80"] = "expected host:port", ["unix:"] = "absolute path", ["unix:relative"] = "absolute path",
    } do
        it(("refuses %q and says how it is written"):format(text), function()
            local count, message = resolve(text)
            assert.equal(-22, count)
            assert.matches(why, message, 1, true)
        end)
    end

    it("says which name it could not find", function()
        local count, message = resolve("no-such-host.invalid:80")
        assert.equal(-2, count)
        assert.matches("cannot find the address of no-such-host.invalid", message, 1, true)
    end)

    it("is asked about in a thread, and not waited for longer than is said", function()
        local message = ffi.new("char[256]")
        local function known(host, wait_ms) return lib.address_is_known(host, #host, wait_ms, message, 256) end
        assert.equal(0, known("localhost", 5000))
        assert.equal(0, known("127.0.0.1", 5000))
        assert.equal(-2, known("no-such-host.invalid", 5000))
        assert.is_true(#ffi.string(message) > 0)
        assert.equal(-110, known(("a"):rep(256), 5000))
        local late = known("no-such-host.invalid", 0)
        assert.is_true(late == -110 or late == -2)
    end)
end)
