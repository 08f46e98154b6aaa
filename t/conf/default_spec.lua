local sites = require "t.support.site"
local config = require "moongate.config"
local evaluate = require "moongate.evaluate"

local function read(path)
    local file = assert(io.open(path))
    local text = file:read("*a")
    file:close()
    return text
end

describe("the default config", function()
    local made
    setup(function()
        package.loaded["moongate"] = sites.mg
        made = evaluate.file "conf/moongate.lua"
    end)

    it("has no problem and serves a page", function()
        assert.equal("", made.problems:text())
        assert.equal("/", made.apps.routes[1].pattern)
    end)

    it("writes every setting, each once, each explained", function()
        local text = read "conf/moongate.lua"
        for _, key in ipairs(config.keys()) do
            local name, count, explained = key:match("[%w_]+$"), 0, false
            local before = ""
            for line in text:gmatch("[^\n]*") do
                if line:match("^%s*" .. name .. "%s*=") then
                    count = count + 1
                    local section = key:match("^(.*)%.") or key
                    explained = line:match("%-%- .") or before:match("^%s*%-%- .") or section ~= key
                end
                if line ~= "" then before = line end
            end
            assert.equal(1, count, key)
            assert.is_truthy(explained or key:match("^log"), key)
        end
    end)

    it("says the defaults that hold without it", function()
        local bare = {}
        for key, value in pairs(config.read({ app = sites.mg.app() }, { file = "conf/moongate.lua", folder = "conf" }, {}, error)) do
            if key ~= "app" then bare[key] = value end
        end
        assert.same(bare, made.config)
    end)
end)

describe("each example", function()
    local names = { "hello", "parameters", "filters", "errors", "streaming", "static", "proxy", "fetching", "shared" }

    it("loads without a problem, as it stands", function()
        package.loaded["moongate"] = sites.mg
        for _, name in ipairs(names) do
            local made = evaluate.file(("conf/examples/%s.lua"):format(name))
            assert.equal("", made.problems:text())
            assert.is_true(#made.apps.routes > 0)
        end
    end)

    it("is in this list", function()
        local listing, known = assert(io.popen("ls conf/examples/*.lua")), {}
        for _, name in ipairs(names) do known[name] = true end
        for path in listing:lines() do assert.is_true(known[path:match("([^/]+)%.lua$")], path) end
        listing:close()
    end)
end)
