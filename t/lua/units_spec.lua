local units = require "moongate.units"

describe("units", function()
    it("reads durations as milliseconds", function()
        local cases = {
            ["300ms"] = 300, ["10s"] = 10000, ["5m"] = 300000, ["1h"] = 3600000, ["2d"] = 172800000,
            ["1.5s"] = 1500, ["500us"] = 0.5, [" 10 s "] = 10000, ["0"] = 0, ["0s"] = 0,
        }
        for text, ms in pairs(cases) do assert.equal(ms, units.duration(text)) end
    end)

    it("takes a number as seconds", function()
        assert.equal(300, units.duration(0.3))
        assert.equal(0, units.duration(0))
    end)

    it("refuses what is not a duration, quoting it", function()
        for _, bad in ipairs { "10", "ms", "-1s", "1e3s", "0x10s", "10 seconds", "", "1..5s", -1, 0 / 0, math.huge, true, {} } do
            local ms, message = units.duration(bad)
            assert.is_nil(ms)
            assert.matches("expected a duration such as", message)
        end
        assert.matches('got "10 seconds"$', (select(2, units.duration("10 seconds"))))
        assert.matches("got nil$", (select(2, units.duration(nil))))
    end)

    it("reads sizes as bytes, 1,024-based, in any case", function()
        local cases = {
            ["16k"] = 16384, ["1m"] = 1048576, ["1g"] = 2 ^ 30, ["2T"] = 2 ^ 41, ["100"] = 100, ["7b"] = 7,
            ["1.5K"] = 1536, ["16kb"] = 16384, ["16KiB"] = 16384, [" 4 k "] = 4096,
        }
        for text, bytes in pairs(cases) do assert.equal(bytes, units.size(text)) end
        assert.equal(0, units.size(0))
        assert.equal(8192, units.size(8192))
    end)

    it("refuses what is not a size: fractions of a byte, other units, negative numbers", function()
        for _, bad in ipairs { "16x", "k", "0.3", "1.0001k", "-1", "1kk", "1ib", "", -1, 1.5, 0 / 0, math.huge, false } do
            local bytes, message = units.size(bad)
            assert.is_nil(bytes)
            assert.matches("expected a size such as", message)
        end
    end)

    it("shows what it reads", function()
        for text, ms in pairs { ["300ms"] = 300, ["1.5s"] = 1500, ["90s"] = 90000, ["2m"] = 120000, ["1d"] = 86400000 } do
            assert.equal(text, units.show_duration(ms))
            assert.equal(ms, units.duration(units.show_duration(ms)))
        end
        for text, bytes in pairs { ["16k"] = 16384, ["1000"] = 1000, ["3g"] = 3 * 2 ^ 30, ["0"] = 0 } do
            assert.equal(text, units.show_size(bytes))
            assert.equal(bytes, units.size(units.show_size(bytes)))
        end
    end)

    it("shows numbers so that they read back as the same", function()
        local cases = {
            ["0"] = 0, ["-7"] = -7, ["9007199254740992"] = 2 ^ 53, ["123456789012345"] = 123456789012345,
            ["0.1"] = 0.1, ["1.5"] = 1.5, ["1e+300"] = 1e300, ["-1e-07"] = -1e-7,
        }
        for text, value in pairs(cases) do assert.equal(text, units.show_number(value)) end
        for _, value in ipairs { 1 / 3, math.pi, 0.1 + 0.2, 2 ^ 60 + 2 ^ 10, 5e-324, 1.7976931348623157e308, 1e15 + 0.5, 1e16, 123456.789e3 } do
            assert.equal(value, tonumber(units.show_number(value)))
            assert.equal(-value, tonumber(units.show_number(-value)))
        end
    end)
end)
