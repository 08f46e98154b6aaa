local json = require "moongate.json"

local function refused(pattern, value)
    local text, message = json.encode(value)
    assert.is_nil(text)
    assert.matches(pattern, message)
end

local function nested(depth)
    local value = {}
    for _ = 2, depth do value = { value } end
    return value
end

describe("json", function()
    describe("encode", function()
        it("writes scalars", function()
            local cases = { [1] = "1", [-1.5] = "-1.5", [true] = "true", [false] = "false", ["a"] = '"a"', [json.null] = "null" }
            for value, text in pairs(cases) do assert.equal(text, json.encode(value)) end
            assert.equal("null", json.encode(nil))
        end)

        it("writes tables as objects and arrays, an empty one as {} and a marked one as []", function()
            assert.equal("{}", json.encode {})
            assert.equal("[]", json.encode(json.array {}))
            assert.equal("[]", json.encode(json.array()))
            assert.equal('[1,"x",[2],{"a":{}}]', json.encode { 1, "x", { 2 }, { a = {} } })
            assert.equal('{"a":[]}', json.encode { a = json.array {} })
            assert.equal('{"1.5":true}', json.encode { [1.5] = true })
        end)

        it("writes indexes beside names as names, whatever their order", function()
            local value = { 1, 2, a = 3 }
            assert.same({ ["1"] = 1, ["2"] = 2, a = 3 }, json.decode(json.encode(value)))
            assert.same({ ["0"] = 1, ["1"] = 2 }, json.decode(json.encode { [0] = 1, [1] = 2 }))
        end)

        it("fills small holes with null and refuses sparse arrays", function()
            assert.equal("[1,null,3]", json.encode { 1, nil, 3 })
            assert.equal("[null,null,null,null,null,null,null,null,null,1]", json.encode { [10] = 1 })
            refused("a sparse array: 1 values up to index 11", { [11] = 1 })
            refused("at value.list$", { list = { [1] = 1, [1000] = 2 } })
            assert.equal("[1,null,null]", json.encode(json.array { 1, n = 3 }))
        end)

        it("keeps numbers exact", function()
            assert.equal("[9007199254740992,-9007199254740992,123456789012345,99999999999999,100000000000000]",
                json.encode { 2 ^ 53, -2 ^ 53, 123456789012345, 99999999999999, 1e14 })
            assert.equal("[0.1,1e+300]", json.encode { 0.1, 1e300 })
            for _, value in ipairs { 1 / 3, math.pi, 0.1 + 0.2, 5e-324, 1.7976931348623157e308, 2 ^ 70 } do
                assert.equal(value, json.decode(json.encode { value })[1])
            end
        end)

        it("escapes what must be, in values and in names", function()
            assert.equal([["a\"b\\c\n\u0000\u001f\u007f/é"]], json.encode("a\"b\\c\n\0\31\127/é"))
            assert.equal([[{"a\"\n":1}]], json.encode { ['a"\n'] = 1 })
            for code = 0, 127 do
                local text = "x" .. string.char(code)
                assert.equal(text, json.decode(json.encode { text })[1])
                assert.equal(1, json.decode(json.encode { [text] = 1 })[text])
            end
        end)

        it("says what cannot be written and where", function()
            refused("^cannot encode as JSON: a function$", print)
            refused("a function at value.user.tags%[3%]$", { user = { tags = { 1, 2, print } } })
            refused("a thread at value.co$", { co = coroutine.create(print) })
            refused("a userdata at value.f$", { f = io.stdout })
            refused("a key that is a boolean", { [true] = 1 })
            refused("not a finite number at value.x$", { x = 0 / 0 })
            refused("not a finite number", -math.huge)
        end)

        it("refuses a value that contains itself", function()
            local value = { a = 1 }
            value.me = { value }
            refused("does it contain itself%? at value.me$", value)
        end)

        it("writes 200 levels and refuses 201", function()
            assert.is_string(json.encode(nested(200)))
            refused("nested deeper than 200", nested(201))
        end)

        it("works after a failure, and runs no metamethod", function()
            refused("a function", { print })
            assert.equal("[1]", json.encode { 1 })
            local trap = setmetatable({ 1, nil, 3 }, { __index = function() error("called") end, __pairs = function() error("called") end })
            assert.equal("[1,null,3]", json.encode(trap))
        end)

        it("writes texts beyond the kept buffer, and small ones after them", function()
            local long = ("x"):rep(3 * 1024 * 1024)
            assert.equal(#long + 4, #json.encode { long })
            assert.equal('["y"]', json.encode { "y" })
        end)

        it("writes more different names than it remembers", function()
            for i = 1, 3000 do assert.equal('{"name' .. i .. '":1}', json.encode { ["name" .. i] = 1 }) end
            assert.equal('{"name1":1}', json.encode { name1 = 1 })
        end)
    end)

    describe("decode", function()
        it("reads values", function()
            assert.same({ a = { 1, 2.5, "x", true, json.null }, b = {} }, json.decode('{"a":[1,2.5,"x",true,null],"b":[]}'))
            assert.equal(9007199254740991, json.decode("9007199254740991"))
            assert.equal("é\n", json.decode([["\u00e9\n"]]))
            assert.equal(json.null, json.decode("null"))
        end)

        it("answers nil, a sentence and 400 for bad text", function()
            for _, bad in ipairs { "", "[1,]", "{", '{"a"}', "nan", "0x10", "[1] x", "'a'", "[NaN]", "01", "-", "+1", "tru" } do
                local value, message, status = json.decode(bad)
                assert.is_nil(value)
                assert.matches("^bad JSON: %l", message)
                assert.equal(400, status)
                assert.is_nil(message:find("T_", 1, true))
            end
            assert.equal("bad JSON: expected comma or array end but found the end at character 3", (select(2, json.decode("[1"))))
        end)

        it("reads 200 levels and refuses 201", function()
            assert.is_table(json.decode(("["):rep(200) .. ("]"):rep(200)))
            local value, message, status = json.decode(("["):rep(201) .. ("]"):rep(201))
            assert.is_nil(value)
            assert.matches("too many nested", message)
            assert.equal(400, status)
        end)

        it("does not touch the settings of the library for others", function()
            local cjson = require "cjson"
            assert.is_table(cjson.decode(("["):rep(300) .. ("]"):rep(300)))
        end)
    end)
end)
