local cookies = require "moongate.cookies"

local function refused(pattern, ...)
    local value, message = cookies.render(...)
    assert.is_nil(value)
    assert.matches(pattern, message)
end

describe("cookies", function()
    describe("parse", function()
        it("reads names and values, the first of one name", function()
            assert.same({ a = "1", b = "x=y", c = "" }, cookies.parse("a=1; b=x=y;c=; a=2"))
            assert.same({}, cookies.parse(""))
        end)

        it("takes quotes off and spaces and tabs away", function()
            assert.same({ a = "b c", d = '"', e = "", f = 'x"y' }, cookies.parse(' a = "b c" ;\td="; e=""; f=x"y'))
        end)

        it("drops pieces without a name", function()
            assert.same({ a = "1" }, cookies.parse("lonely; =v; ;; a=1; tail"))
            assert.same({ b = "2" }, cookies.parse("a; b=2"))
        end)

        it("does not decode values", function()
            assert.same({ a = "%41+" }, cookies.parse("a=%41+"))
        end)
    end)

    describe("render", function()
        it("has safe defaults", function()
            assert.equal("id=7; Path=/; HttpOnly; SameSite=Lax", cookies.render("id", "7"))
            assert.equal("id=7; Path=/; Secure; HttpOnly; SameSite=Lax", cookies.render("id", "7", nil, true))
            assert.equal("id=7; Path=/; HttpOnly; SameSite=Lax", cookies.render("id", "7", { secure = false }, true))
        end)

        it("writes every option", function()
            assert.equal("a=b; Path=/x; Domain=example.org; Max-Age=3600; Expires=Sun, 06 Nov 1994 08:49:37 GMT; Secure; SameSite=None; Partitioned",
                cookies.render("a", "b", { path = "/x", domain = "example.org", max_age = "1h", expires = 784111777, secure = true,
                                           http_only = false, same_site = "none", partitioned = true }))
            assert.equal("a=; Path=/; Max-Age=0; HttpOnly", cookies.render("a", "", { max_age = 0, same_site = false }))
            assert.equal("a=; Path=/; Max-Age=90; HttpOnly; SameSite=Strict", cookies.render("a", "", { max_age = 90, same_site = "STRICT" }))
        end)

        it("refuses names and values that would not come back", function()
            for _, name in ipairs { "", "a b", "a=b", "a;b", "a\r\nb", "é", "a,b" } do refused("cookie name", name, "v") end
            refused("cookie name", nil, "v")
            for _, value in ipairs { "a b", "a;b", "a,b", 'a"b', "a\\b", "a\r\nSet-Cookie: x=y", "é", "\0", "\127" } do
                refused("the value holds bytes", "a", value)
            end
            refused("expected a string as its value, got number", "a", 7)
            local every = {}
            for code = 33, 126 do
                local char = string.char(code)
                if not char:find('[",;\\]') then every[#every + 1] = char end
            end
            assert.is_string(cookies.render("a", table.concat(every)))
        end)

        it("takes 4,096 bytes of name and value and refuses 4,097", function()
            assert.is_string(cookies.render("ab", ("v"):rep(4094)))
            refused("longer than 4096 bytes", "ab", ("v"):rep(4095))
        end)

        it("refuses options of the wrong name, kind or content", function()
            refused("httponly: no such option", "a", "v", { httponly = true })
            refused("secure: expected a boolean, got string", "a", "v", { secure = "yes" })
            refused('max_age: expected a duration .* got "1 year"', "a", "v", { max_age = "1 year" })
            refused('max_age: expected a duration', "a", "v", { max_age = -1 })
            refused('same_site: expected .* got "loose"', "a", "v", { same_site = "loose" })
            refused("path: .* cannot be sent", "a", "v", { path = "/; Domain=evil" })
            refused("path: .* cannot be sent", "a", "v", { path = "/\r\nX: y" })
            refused("path: expected one that begins", "a", "v", { path = "x" })
            refused("domain: expected a host name", "a", "v", { domain = "a b" })
            refused("expires: expected seconds", "a", "v", { expires = 0 / 0 })
            refused("expires: expected seconds", "a", "v", { expires = 253402300800 })
            assert.matches("31 Dec 9999 23:59:59", (cookies.render("a", "v", { expires = 253402300799 })))
            assert.is_string(cookies.render("a", "v", { path = "/" .. ("x"):rep(1023) }))
            refused("cannot be sent", "a", "v", { path = "/" .. ("x"):rep(1024) })
        end)

        it("keeps the rules of prefixes, SameSite=None and Partitioned", function()
            for _, name in ipairs { "__Host-a", "__Secure-a", "__host-a" } do
                refused("need secure = true", name, "v")
                assert.is_string(cookies.render(name, "v", { secure = true }))
                assert.is_string(cookies.render(name, "v", nil, true))
            end
            refused("no domain", "__Host-a", "v", { secure = true, domain = "example.org" })
            refused("no domain", "__Host-a", "v", { secure = true, path = "/x" })
            assert.is_string(cookies.render("__Secure-a", "v", { secure = true, domain = "example.org", path = "/x" }))
            refused('same_site = "None" needs secure', "a", "v", { same_site = "None" })
            refused("partitioned needs secure", "a", "v", { partitioned = true })
        end)
    end)
end)
