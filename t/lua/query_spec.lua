local query = require "moongate.query"

describe("query", function()
    it("reads names and values, decoded, plus as space", function()
        assert.same({ a = "1", b = "two words", ["c d"] = "é&=+" }, query.parse("a=1&b=two+words&c%20d=%c3%A9%26%3D%2b"))
        assert.same({}, query.parse(""))
    end)

    it("keeps blank values and blank names, skips empty pieces", function()
        assert.same({ a = "", b = "", [""] = "x" }, query.parse("&a&&b=&=x&"))
    end)

    it("splits at the first equals sign, before decoding", function()
        assert.same({ a = "b=c" }, query.parse("a=b=c"))
        assert.same({ ["a=b"] = "c&d" }, query.parse("a%3Db=c%26d"))
        assert.same({ a = "", b = "1" }, query.parse("a&b=1"))
    end)

    it("keeps bad escapes as they are", function()
        assert.same({ a = "100%", b = "%zz", c = "%4", d = "%%41 A" }, query.parse("a=100%&b=%zz&c=%4&d=%%2541+%41"))
    end)

    it("decodes every byte in every case of its digits", function()
        for code = 0, 255 do
            local upper = ("%02X"):format(code)
            for _, digits in ipairs { upper, upper:lower(), upper:sub(1, 1):lower() .. upper:sub(2), upper:sub(1, 1) .. upper:sub(2):lower() } do
                assert.equal(string.char(code), query.decode("%" .. digits))
            end
        end
    end)

    it("gives the first of several values, and all of them when asked", function()
        local values = query.parse("a=1&b=x&a=2&a=3&all=y&all=z")
        assert.equal("1", values.a)
        assert.equal("y", values.all)
        assert.same({ "1", "2", "3" }, query.all(values, "a"))
        assert.same({ "y", "z" }, query.all(values, "all"))
        assert.same({ "x" }, query.all(values, "b"))
        assert.same({}, query.all(values, "none"))
        assert.same({ "1" }, query.all(query.parse("a=1"), "a"))
        local names = {}
        for name in pairs(values) do names[#names + 1] = name end
        table.sort(names)
        assert.same({ "a", "all", "b" }, names)
    end)

    it("takes 1,000 arguments and refuses 1,001 with 400", function()
        local full = ("a=1&"):rep(1000)
        assert.equal(1000, #query.all(query.parse(full), "a"))
        local values, message, status = query.parse(full .. "b")
        assert.is_nil(values)
        assert.equal("more than 1000 arguments", message)
        assert.equal(400, status)
        assert.same({ a = "" }, query.parse(("&"):rep(5000) .. "a"))
    end)

    it("builds what it reads", function()
        assert.equal("a=1&b=two%20words&c%26=%C3%A9&t=x&t=y", query.build { b = "two words", a = 1, ["c&"] = "é", t = { "x", "y" } })
        assert.equal("big=9007199254740992&no=false", query.build { big = 2 ^ 53, no = false })
        assert.equal("", query.build {})
        assert.equal("", query.build { a = {} })
        for _, text in ipairs { "a=1&a=2&b=%25", "=&x=", "a-._~=%2B%20" } do
            assert.equal(text, query.build(query.parse(text)))
        end
    end)

    it("builds and reads any bytes, property", function()
        math.randomseed(7)
        for _ = 1, 200 do
            local values = {}
            for _ = 1, math.random(0, 5) do
                local bytes = {}
                for i = 1, math.random(0, 12) do bytes[i] = string.char(math.random(0, 255)) end
                values[table.concat(bytes)] = table.concat(bytes, "=")
            end
            assert.same(values, query.parse(query.build(values)))
        end
    end)

    it("raises at the caller's line when asked to build from what cannot be text", function()
        for _, bad in ipairs { { a = print }, { a = { {} } }, { "positional" } } do
            local ok, message = pcall(function() return query.build(bad) .. "" end)
            assert.is_false(ok)
            assert.matches("query_spec.lua:%d+: query.build: .*expected", message)
        end
    end)
end)
