local syntax = require "moongate.syntax"
local bytecode = require "jit.bc"
local tree = require "t.support.tree"

--- Names of globals as LuaJIT compiled them, sorted.
local function compiled_globals(text)
    local names, listing = {}, {}
    bytecode.dump(loadstring(text), { write = function(_, ...) listing[#listing + 1] = table.concat { ... } end, flush = function() end }, true)
    for name in table.concat(listing):gmatch('G[GS]ET%s+%d+%s+%d+%s+; "([^"]*)"') do names[#names + 1] = name end
    table.sort(names)
    return names
end

local function read_globals(text)
    local names = {}
    for at, node in ipairs(assert(syntax.read(text)).globals) do names[at] = node.name end
    table.sort(names)
    return names
end

--- Calls at "line:column" of their brackets.
local function calls(text)
    local made = assert(syntax.read(text))
    local found = {}
    for at, call in ipairs(made.calls) do
        local name = call.method or call.fn.key or call.fn.name
        found[at] = ("%s %s:%s"):format(name, syntax.position(made, call.opens))
    end
    return found
end

describe("the syntax of a file", function()
    it("can be read wherever LuaJIT compiles it", function()
        local count = 0
        for _, folder in ipairs { "lua", "conf", "t", "bench" } do
            for path, text in tree.each("%.lua$", folder) do
                if loadstring(text) then
                    count = count + 1
                    local made, message = syntax.read(text)
                    assert(made, path .. ": " .. tostring(message))
                end
            end
        end
        assert.is_true(count > 100)
    end)

    it("has the globals that LuaJIT sees, in every file of the tree", function()
        local count = 0
        for _, folder in ipairs { "lua", "conf", "bench" } do
            for path, text in tree.each("%.lua$", folder) do
                count = count + 1
                assert.same(compiled_globals(text), read_globals(text), path)
            end
        end
        assert.is_true(count > 40)
    end)

    it("knows scopes: shadows, parameters, loops, repeat, recursion, methods", function()
        for text, expected in pairs {
            ["local a = a"] = { "a" },
            ["local function f() return f end"] = {},
            ["local f = function() return f end"] = { "f" },
            ["do local x end return x"] = { "x" },
            ["for i = i, 2 do local y = i end return y"] = { "i", "y" },
            ["for k, v in k do local z = v end"] = { "k" },
            ["repeat local done = true until done"] = {},
            ["function t:m(a) return self, a end"] = { "t" },
            ["function t.m(a) return self, a end"] = { "self", "t" },
            ["local t = { x = x, [y] = 1 } t.z = w"] = { "w", "x", "y" },
            ["goto done do local done end ::done::"] = {},
            ["local goto = 1 return goto"] = nil,
            ["return 0x1p4, 1e+5, .5, 5LL, 2i, a..b, -a^2"] = { "a", "a", "b" },
            ["return [==[ x ]] y ]==], 'a\\z\n   b', \"\\\"q\""] = {},
            ["--[[ a ]] --[==[ b ]] ]==] -- c\nreturn d"] = { "d" },
        } do
            if loadstring(text) then assert.same(expected, read_globals(text), text) end
        end
    end)

    it("tells where calls open, of every form", function()
        assert.same({ "f 1:2", "g 1:8", "h 2:5", "get 4:8" }, calls "f(1) g {} \nx.h [[text]]\n\napp:get(\n  '/')")
    end)

    it("is nil with a place for what is no Lua", function()
        local made, message, at = syntax.read("local x = = 1")
        assert.is_nil(made)
        assert.is_string(message)
        assert.equal(11, at)
        for _, text in ipairs { "if", "f(", "local function", "return {", "'", "[[", "for i in", "::x", "a.b:c", "\0", "end" } do
            assert.is_nil((syntax.read(text)), text)
        end
    end)
end)
