--- URLs of requests that scripts make.
local url = require "moongate.url"

describe("a URL", function()
    it("is taken apart into origin, host and path", function()
        for text, expected in pairs {
            ["http://example.org"] = { "example.org:80", "example.org", "/" },
            ["HTTP://Example.ORG:80/a?b=c#d"] = { "example.org:80", "example.org", "/a?b=c" },
            ["http://example.org:8080?x"] = { "example.org:8080", "example.org:8080", "/?x" },
            ["http://example.org:/x"] = { "example.org:80", "example.org", "/x" },
            ["http://[::1]:9000/x"] = { "[::1]:9000", "[::1]:9000", "/x" },
            ["http://10.0.0.1/\195\164 b"] = { "10.0.0.1:80", "10.0.0.1", "/%C3%A4%20b" },
            ["http+unix://%2Frun%2Fa+b.sock/x?y"] = { "unix:/run/a+b.sock", "localhost", "/x?y" },
        } do
            local made = assert(url.parse(text))
            assert.same(expected, { made.origin, made.host, made.path }, text)
        end
    end)

    it("is refused when it is none, or of another kind", function()
        for text, code in pairs {
            ["/path"] = false, [""] = false, ["http://"] = false, ["http:///x"] = false, ["http://a b/"] = false, ["http://a:0/"] = false,
            ["http://a:65536/"] = false, ["http://a:x/"] = false, ["http://u:p@a/"] = false, ["http://a/\r\nx"] = false, ["http://a/\0"] = false,
            ["http://a\r\nHost: b/"] = false, ["http+unix://run/x"] = false, ["https://a/"] = "unsupported", ["wss://a/"] = "unsupported",
            ["ftp://a/"] = "unsupported", ["http://::1/"] = false, ["http://-a/"] = false,
        } do
            local made, message, why = url.parse(text)
            assert.is_nil(made, text)
            assert.is_string(message)
            assert.equal(code or nil, why, text)
        end
        assert.is_truthy(url.parse("http://a:65535/"))
        assert.is_truthy(url.on_socket("/" .. ("s"):rep(106), "/"))
        assert.is_nil(url.on_socket("/" .. ("s"):rep(107), "/"))
        assert.is_nil(url.on_socket("/run/a backup", "/"))
        assert.is_nil(url.on_socket("/run/a\n10.0.0.1:80", "/"))
    end)

    it("leads to where a reference says", function()
        local base = assert(url.parse("http://example.org/a/b/c?d=e"))
        for reference, expected in pairs {
            ["/x"] = "/x", ["x"] = "/a/b/x", ["./x"] = "/a/b/x", ["../x"] = "/a/x", ["../../../x"] = "/x", ["?y"] = "/a/b/c?y", [""] = "/a/b/c?d=e",
            ["x/./y/../z?q#f"] = "/a/b/x/z?q", [".."] = "/a/", ["/x/.."] = "/", ["#f"] = "/a/b/c?d=e",
        } do
            assert.same({ expected, true }, { url.resolve(base, reference) }, reference)
        end
        assert.same({ "http://other/x", false }, { url.resolve(base, "http://other/x") })
        assert.same({ "http://other/x", false }, { url.resolve(base, "//other/x") })
        assert.same({ "ftp://other/x", false }, { url.resolve(base, "ftp://other/x") })
    end)
end)
