require("t.support.fake_abi").install()
local app = require "moongate.app"

local function read(path)
    local file = assert(io.open(path))
    local text = file:read("*a")
    file:close()
    return text
end

local page = read "lua/README.md"

--- The names that the page has after a prefix such as "mg.", as a sorted list.
local function documented(...)
    local seen = {}
    for _, pattern in ipairs { ... } do
        for name in page:gmatch("%f[%w_]" .. pattern .. "([%a_][%w_]*)") do seen[name] = true end
    end
    return seen
end

--- Both lists, so that a difference shows what is missing on which side.
local function agree(page_has, code_has, what)
    for name in pairs(page_has) do assert(code_has[name], ("the page has %s%s, which does not exist"):format(what, name)) end
    for name in pairs(code_has) do assert(page_has[name], ("%s%s is not documented"):format(what, name)) end
end

--- Names in source text. The modules of the border cannot load without a worker, so they are read.
local function names_in(text, ...)
    local found = {}
    for _, pattern in ipairs { ... } do
        for name in text:gmatch(pattern) do found[name] = true end
    end
    assert(next(found), "nothing was read")
    return found
end

describe("the page of the public API", function()
    it("has every method of an app, and no other", function()
        local methods = {}
        for name in pairs(app.App) do
            if not name:match("^__") then methods[name] = true end
        end
        agree(documented "app:", methods, "app:")
    end)

    it("has every word of mg, and no other", function()
        local text = read "lua/moongate/init.lua"
        local words = names_in(text, "\nfunction mg%.([%w_]+)", "\nmg%.([%w_]+) = ")
        local constructor = assert(text:match("\nlocal mg = (%b{})")):sub(2, -2):gsub("%-%-[^\n]*", "")
        for name in constructor:gmatch("([%a_][%w_]*)%s*=%f[^=]") do words[name] = true end
        agree(documented "mg%.", words, "mg.")
    end)

    it("has every field and method of a request, and no other", function()
        local text = read "lua/moongate/request.lua"
        local fields = names_in(assert(text:match("\nlocal FIELDS = (%b{})")), "\n    ([%a_][%w_]*) = function")
        for name in pairs(names_in(text, "\nfunction Request:([%w_]+)")) do fields[name] = true end
        for name in text:gmatch('key == "([%w_]+)"') do fields[name] = true end
        local page_has = documented("req%.", "req:")
        page_has.name = nil -- stands for the name that extend_request() is given
        agree(page_has, fields, "req.")
    end)

    it("has a first site that loads", function()
        local site = require("t.support.site").new { ["site.lua"] = assert(page:match("```lua\n(.-)```")) }
        local told = site:problems "site.lua"
        site:remove()
        assert.same({}, told)
    end)
end)
