local sites = require "t.support.site"
local abi = require "t.support.fake_abi"
local config = require "moongate.config"

local FOLDER = { file = "conf/site.lua", folder = "conf" }

--- Reads a config with an app; the second result is a list of what was reported.
local function read(given, overrides)
    local told = {}
    given.app = given.app == nil and sites.mg.app() or given.app
    local made = config.read(given, FOLDER, overrides or {}, function(key, message, hint)
        told[#told + 1] = ("%s: %s%s"):format(key, message, hint and " | " .. hint or "")
    end)
    return made, told
end

describe("a config", function()
    it("has a default for everything", function()
        local made, told = read {}
        assert.same({}, told)
        assert.same({ "127.0.0.1:8080" }, made.listen)
        assert.equal("auto", made.workers)
        assert.equal(30000, made.drain_ms)
        assert.equal("moongate", made.server)
        assert.is_false(made.debug)
        assert.equal("site", made.name)
        assert.same({ access = "off", format = "combined", errors = "-", level = "info" }, made.log)
    end)

    it("has every limit of the settings table, by the field that the core reads", function()
        local made, count = read({}), 0
        for _, row in ipairs(abi.settings_rows()) do
            assert.equal(row.initial, made.settings[row.field], row.key)
            count = count + 1
        end
        assert.is_true(count >= 15)
    end)

    it("holds both bounds of every limit", function()
        for _, row in ipairs(abi.settings_rows()) do
            local name = row.key:match("%.(.*)$")
            local unit = row.kind == abi.C.MG_SETTING_MS and 1000 or 1 -- a bare number counts seconds
            for _, good in ipairs { row.least, row.most } do
                local made, told = read { limits = { [name] = good / unit } }
                assert.same({}, told)
                assert.is_true(math.abs(made.settings[row.field] - good) < 0.001)
            end
            for _, bad in ipairs { row.least - 1, row.most + 1 } do
                if bad >= 0 or row.kind == abi.C.MG_SETTING_COUNT then
                    local made, told = read { limits = { [name] = bad / unit } }
                    assert.is_nil(made)
                    assert.equal(1, #told, row.key)
                    assert.matches("^" .. row.key .. ": expected ", told[1])
                end
            end
        end
    end)

    it("takes the command line before the file, and tells its mistakes apart", function()
        local made = read({ listen = ":1", workers = 3, name = "a" },
            { listen = { ":2", "unix:/x" }, workers = "auto", name = "b", debug = true })
        assert.same({ ":2", "unix:/x" }, made.listen)
        assert.equal("auto", made.workers)
        assert.equal("b", made.name)
        assert.is_true(made.debug)
        assert.equal(2, read({}, { workers = "2" }).workers)
        local _, told = read({ lisen = 1 }, { listen = { "80" }, workers = "many", name = "a b" })
        table.sort(told)
        assert.equal(4, #told)
        assert.matches('^%-%-listen%[1%]: .* | did you mean ":80"?', told[1])
        assert.matches("^%-%-name: ", told[2])
        assert.equal('--workers: expected "auto" or a whole number from 1 to 256, got "many"', told[3])
        assert.matches("^lisen: unknown key", told[4])
    end)

    it("counts workers and addresses from both sides", function()
        for _, good in ipairs { 1, 256 } do assert.equal(good, read({ workers = good }).workers) end
        for _, bad in ipairs { 0, 257, 1.5, "2" } do assert.is_nil(read { workers = bad }) end
        for _, good in ipairs { "1.2.3.4:0", ":65535", "[::]:80", "localhost:80", "unix:x" } do
            assert.same({ good }, read({ listen = good }).listen)
        end
        for _, bad in ipairs { ":65536", "1.2.3.4", "::1:80", "a b:80", "unix:", ":", "", 80, ":80\n" } do
            assert.is_nil(read { listen = bad }, tostring(bad))
        end
        assert.is_nil(read { listen = {} })
        local _, told = read { listen = { ":1", ":1", ":0", ":0" } }
        assert.same({ 'listen[2]: ":1" is there twice' }, told)
    end)

    it("finds log files from the config's folder, and leaves words alone", function()
        assert.equal("conf/a.log", read({ log = { access = "a.log" } }).log.access)
        assert.equal("/a.log", read({ log = { errors = "/a.log" } }).log.errors)
        assert.equal("-", read({ log = { access = "-" } }).log.access)
    end)

    it("makes no header out of what is no header", function()
        assert.is_false(read({ server = false }).server)
        for _, bad in ipairs { "a\r\nb", "", true, 7 } do assert.is_nil(read { server = bad }) end
    end)

    it("makes a name out of any file", function()
        for file, name in pairs {
            ["conf/moongate.lua"] = "moongate", ["/a b/ö x.lua"] = "---x", ["..lua"] = "moongate", ["x/.hidden.lua"] = "hidden",
            [("n"):rep(99)] = ("n"):rep(64),
        } do
            local made = config.read({ app = sites.mg.app() }, { file = file, folder = "." }, {}, error)
            assert.matches("^[%w_.-]+$", made.name)
            if not file:find("ö") then assert.equal(name, made.name) end
        end
    end)
end)
