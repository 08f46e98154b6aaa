local ffi = require "ffi"
local c = require "t.support.c"
c.header("proxy/address.h")
local lib = c.lib()
local SOCKET, NAME, SERVICE = ffi.C.PLACE_SOCKET, ffi.C.PLACE_NAME, ffi.C.PLACE_SERVICE

local function read(text, is_service)
    local address, name = ffi.new("struct proxy_address"), ffi.new("struct address_name")
    local message = ffi.new("char[256]")
    local kind = lib.address_read(text, #text, is_service and 1 or 0, address, name, message, 256)
    return kind, ffi.string(message), address, name
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
            local kind, _, address = read(text)
            assert.equal(SOCKET, kind)
            assert.same(expected, { parts(address) })
            assert.equal(text, ffi.string(address.label))
        end
    end)

    it("takes a name apart without asking for it", function()
        local kind, _, _, name = read("no-such-host.invalid:8080")
        assert.same({ NAME, "no-such-host.invalid", 8080 }, { kind, ffi.string(name.host), name.port })
    end)

    it("takes the name of a service with or without a port, which is not used", function()
        for _, text in ipairs { "_http._tcp.example.org", "_http._tcp.example.org:80", "api.service.consul" } do
            local kind, _, _, name = read(text, true)
            assert.same({ SERVICE, (text:gsub(":80$", "")), 0 }, { kind, ffi.string(name.host), name.port })
        end
    end)

    it("labels an address of a name with both", function()
        local address = ffi.new("struct proxy_address")
        lib.address_of_name("api:80", 2, "\10\0\0\7", 80, address)
        assert.same({ "api:80 (10.0.0.7:80)", 2, 80 }, { ffi.string(address.label), parts(address) })
        lib.address_of_name("api:80", 10, ("\0"):rep(15) .. "\1", 81, address)
        assert.same({ "api:80 ([::1]:81)", 10, 81 }, { ffi.string(address.label), parts(address) })
    end)

    it("reads socket paths, and holds them to what the kernel takes", function()
        local longest = "/" .. ("p"):rep(106)
        local kind, _, address = read("unix:" .. longest)
        assert.equal(SOCKET, kind)
        assert.equal(1, (parts(address)))
        assert.equal(longest, ffi.string(ffi.cast("const char *", address.storage) + 2))
        local refused, message = read("unix:" .. longest .. "p")
        assert.equal(-22, refused)
        assert.matches("107 bytes", message)
    end)

    it("takes a name of 255 bytes, and no longer one", function()
        assert.equal(NAME, (read(("a"):rep(255) .. ":80")))
        assert.equal(-22, (read(("a"):rep(256) .. ":80")))
        assert.equal(-22, (read(("a"):rep(400) .. ":80")))
    end)

    for text, why in pairs {
        [""] = "expected host:port", ["10.0.0.1"] = "expected host:port", [":80"] = "expected host:port",
        ["10.0.0.1:"] = "from 1 to 65535", ["10.0.0.1:0"] = "from 1 to 65535", ["10.0.0.1:65536"] = "from 1 to 65535",
        ["10.0.0.1:8o"] = "from 1 to 65535", ["10.0.0.1:+8"] = "from 1 to 65535", ["::1:80"] = "in brackets",
        ["[::1]"] = "in brackets", ["http://a:80"] = "without a scheme", ["a b:80"] = "expected host:port",
        ["a/b:80"] = "expected host:port", ["unix:"] = "absolute path", ["unix:relative"] = "absolute path",
        ["10.0.0.300:80"] = "neither an address nor a name", ["[localhost]:80"] = "neither an address nor a name", ["1.2:80"] = "neither an address",
    } do
        it(("refuses %q and says how it is written"):format(text), function()
            local kind, message = read(text)
            assert.equal(-22, kind)
            assert.matches(why, message, 1, true)
        end)
    end

    it("refuses what is no name of a service", function()
        for _, text in ipairs { "", "a b", "_http._tcp.example.org:http", "http://x" } do assert.equal(-22, (read(text, true))) end
    end)
end)
