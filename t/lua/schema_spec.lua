local schema = require "moongate.schema"

local function messages(kind, value)
    local _, found = schema.check(kind, value)
    local lines = {}
    for at, problem in ipairs(found) do
        lines[at] = ("%s: %s%s"):format(problem.key, problem.message, problem.hint and " | " .. problem.hint or "")
    end
    return lines
end

describe("a schema", function()
    local limits = schema.record {
        { name = "head", type = schema.size(128, 61440), default = "16k" },
        { name = "head_time", type = schema.duration(10, 3600000), default = "10s" },
    }
    local site = schema.record {
        { name = "listen", type = schema.list(schema.string, 1, 2), required = true },
        { name = "limits", type = limits, default = {} },
        { name = "level", type = schema.choice { "debug", "info", "warn" } },
    }

    it("gives values in the program's units, with defaults", function()
        assert.same({ listen = { "a" }, limits = { head = 1024, head_time = 300 }, level = "warn" },
            (schema.check(site, { listen = "a", limits = { head = "1k", head_time = "300ms" }, level = "warn" })))
        assert.same({ listen = { "a", "b" }, limits = { head = 16384, head_time = 10000 } },
            (schema.check(site, { listen = { "a", "b" } })))
    end)

    it("tells every mistake at once, with its path", function()
        assert.same({
            'lisen: unknown key | did you mean "listen"?',
            "listen: missing: expected a string, or a list of such",
            'limits.heads: unknown key | did you mean "head"?',
            'limits.head: expected a size such as "16k", "1m" or a number of bytes, got true',
            'level: expected "debug", "info" or "warn", got "wran" | did you mean "warn"?',
        }, messages(site, { lisen = "a", limits = { heads = 1, head = true }, level = "wran" }))
    end)

    it("names the whole path of a key that stands at the wrong depth", function()
        assert.same({ 'head_time: unknown key | did you mean "limits.head_time"?' },
            messages(site, { listen = "a", head_time = "1s" }))
    end)

    it("lists what is known when nothing is near", function()
        assert.same({ "zzzzzz: unknown key | known here: head, head_time" }, messages(limits, { zzzzzz = 1 }))
    end)

    it("holds both sides of each bound", function()
        local head = schema.size(128, 1024)
        for _, good in ipairs { 128, "128", "1k", 1024 } do assert.same({}, messages(head, good)) end
        for _, bad in ipairs { 127, 1025 } do
            assert.same({ (': expected a size from "128" to "1k", got %d'):format(bad) }, messages(head, bad))
        end
        local count = schema.count(1, 3)
        for _, good in ipairs { 1, 3 } do assert.same({}, messages(count, good)) end
        for _, bad in ipairs { 0, 4, 1.5, 0 / 0, math.huge } do assert.equal(1, #messages(count, bad)) end
    end)

    it("counts the entries of a list from both sides", function()
        assert.same({ "listen: expected a string, got an empty list" }, messages(site, { listen = {} }))
        assert.same({}, messages(site, { listen = { "a", "b" } }))
        assert.same({ "listen: expected at most 2, got 3" }, messages(site, { listen = { "a", "b", "c" } }))
        assert.same({ 'listen[2]: expected a string, got 7' }, messages(site, { listen = { "a", 7 } }))
        assert.same({ "listen: expected a list, got a table with names | each entry is a string" }, messages(site, { listen = { "a", x = "b" } }))
    end)

    it("takes false where false is a value", function()
        local server = schema.either { schema.string, schema.only(false) }
        assert.is_false((schema.check(server, false)))
        assert.same({ ": expected false, got true" }, messages(server, true))
        assert.same({ ": expected a string or false, got 3" }, messages(server, 3))
    end)

    it("cuts long values and quotes the others", function()
        assert.equal([["a\n\"b\000"]], schema.shown('a\n"b\0'))
        assert.equal(60 + 2 + #"…", #schema.shown(("x"):rep(61)))
        assert.equal("nothing", schema.shown(nil))
        assert.equal("a function", schema.shown(print))
    end)

    it("finds the word that was meant: a letter missing, added, changed or swapped, in any case", function()
        local words = { "listen", "limits", "workers", "log" }
        for wrong, meant in pairs { listn = "listen", listenn = "listen", limots = "limits", wrokers = "workers", LOG = "log" } do
            assert.equal(meant, schema.nearest(wrong, words))
        end
        assert.is_nil(schema.nearest("hosts", words))
        assert.is_nil(schema.nearest("x", words))
    end)

    it("raises at the line of the user's call", function()
        local chunk = assert(loadstring("local schema = ...\n\nschema.demand(schema.record { { name = 'once', type = schema.boolean } }, { once = 1 }, 'app:get')", "@site.lua"))
        local ok, message = pcall(chunk, schema)
        assert.is_false(ok)
        assert.equal("site.lua:3: app:get: once: expected true or false, got 1", message)
    end)
end)
