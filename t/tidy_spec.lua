--- The manners of the house, executed over the tree.
local tidy = require "t.support.tidy"
local tree = require "t.support.tree"

--- Runs a rule over files and fails with all faults at once.
local function holds(rule, pattern, folder, except)
    local faults, seen = {}, 0
    for path, text in tree.each(pattern, folder) do
        if not (except and path:match(except)) then
            seen = seen + 1
            for _, fault in ipairs(rule(path, text)) do faults[#faults + 1] = fault end
        end
    end
    assert(seen > 0, "no file to look at")
    assert(#faults == 0, ("%d faults:\n%s"):format(#faults, table.concat(faults, "\n", 1, math.min(#faults, 50))))
end

local SOURCES, SCRIPTS = "%.[ch]$", "%.lua$"

describe("the tree", function()
    it("includes only downwards", function() holds(tidy.includes, SOURCES, "src") end)

    it("includes only what exists", function()
        for path, text in tree.each(SOURCES, "src") do
            for target in text:gmatch('#%s*include%s+"([^"]+)"') do
                assert(tree.exists("src/" .. target), ("%s: src/%s does not exist"):format(path, target))
            end
        end
    end)

    it("keeps liburing in net and Lua's C interface in vm.c", function() holds(tidy.private_libraries, SOURCES, "src") end)

    it("has one ffi.cdef under lua/", function()
        local found = {}
        for path, text in tree.each(SCRIPTS, "lua") do
            for _ in text:gsub("%-%-[^\n]*", ""):gmatch("ffi%.cdef%s*[%(%[\"']") do found[#found + 1] = path end
        end
        assert.same({ "lua/moongate/abi.lua" }, found)
    end)

    it("requires modules that exist, without a cycle", function()
        local graph = { ["moongate.cdef"] = {} } -- made by the build out of src/abi/moongate.h
        for path, text in tree.each(SCRIPTS, "lua/moongate") do
            local name = path:gsub("^lua/", ""):gsub("%.lua$", ""):gsub("/", "."):gsub("%.init$", "")
            graph[name] = tidy.requires(text)
        end
        for name, others in pairs(graph) do
            for _, other in ipairs(others) do assert(graph[other], ("%s requires %s, which does not exist"):format(name, other)) end
        end
        assert.is_nil(tidy.cycle(graph))
    end)

    it("keeps files at 600 lines and headers at 150", function()
        holds(tidy.file_size, SOURCES, "src")
        holds(tidy.file_size, SCRIPTS, "lua")
    end)

    it("keeps functions at 110 lines", function()
        holds(tidy.function_size, SOURCES, "src")
        holds(tidy.function_size, SCRIPTS, "lua")
    end)

    it("opens every file with what it is", function()
        holds(tidy.opening, SOURCES, "src")
        holds(tidy.opening, SCRIPTS, "lua")
        holds(tidy.opening, SCRIPTS, "t/support")
        holds(tidy.opening, SOURCES, "bench")
        holds(tidy.opening, SCRIPTS, "bench")
    end)

    it("has headers that LuaJIT can read", function() holds(tidy.plain_header, "%.h$", "src", "%.inl%.h$") end)

    it("has no tabs, no blanks at line ends, no endless lines", function()
        holds(tidy.whitespace, SOURCES)
        holds(tidy.whitespace, SCRIPTS)
    end)

    it("holds what is done and speaks of itself alone", function() holds(tidy.words) end)
end)

describe("the rules", function()
    local function sees(count, rule, path, text) assert.equal(count, #rule(path, text), path) end

    it("see an include that goes up or sideways", function()
        sees(0, tidy.includes, "src/gate/x.c", '#include "gate/y.h"\n#include "net/net.h"\n#include "base/must.h"\n#include <stdio.h>\n')
        sees(1, tidy.includes, "src/net/x.c", '#include "gate/y.h"\n')
        sees(1, tidy.includes, "src/http/x.c", '#  include "route/route.h"\n')
        sees(1, tidy.includes, "src/base/x.c", '#include "net/net.h"\n')
        sees(1, tidy.includes, "src/gate/x.c", '#include "y.h"\n')
        sees(1, tidy.includes, "src/proc/x.c", '#include "gate/gate.h"\n#include "gate/stats.h"\n#include "abi/vm.h"\n')
        sees(1, tidy.includes, "src/attic/x.c", "")
    end)

    it("see a library in the wrong room", function()
        sees(0, tidy.private_libraries, "src/net/x.c", "#include <liburing.h>\n")
        sees(1, tidy.private_libraries, "src/gate/x.c", "#include <liburing.h>\n")
        sees(0, tidy.private_libraries, "src/abi/vm.c", "#include <lua.h>\n")
        sees(1, tidy.private_libraries, "src/abi/abi.c", "#include <luajit-2.1/lua.h>\n")
    end)

    it("see what is one line too long, and not what just fits", function()
        sees(0, tidy.file_size, "src/net/x.c", ("\n"):rep(600))
        sees(1, tidy.file_size, "src/net/x.c", ("\n"):rep(601))
        sees(0, tidy.file_size, "src/net/x.h", ("\n"):rep(150))
        sees(1, tidy.file_size, "src/net/x.h", ("\n"):rep(151))
        for _, sample in ipairs { { "src/net/x.c", "int f(void)\n{\n%s}\n" }, { "lua/moongate/x.lua", "local function f()\n%send\n" } } do
            sees(0, tidy.function_size, sample[1], sample[2]:format(("    x\n"):rep(108)))
            sees(1, tidy.function_size, sample[1], sample[2]:format(("    x\n"):rep(109)))
        end
    end)

    it("see tabs, trailing blanks, long lines and a missing line end", function()
        sees(0, tidy.whitespace, "src/net/x.c", "int x;\n" .. ("x"):rep(160) .. "\n")
        sees(1, tidy.whitespace, "src/net/x.c", "\tint x;\n")
        sees(1, tidy.whitespace, "src/net/x.c", "int x; \n")
        sees(1, tidy.whitespace, "src/net/x.c", ("x"):rep(161) .. "\n")
        sees(1, tidy.whitespace, "src/net/x.c", "int x;")
    end)

    it("see a file that does not say what it is, and a header that could be read twice", function()
        sees(0, tidy.opening, "src/net/x.h", "/* What. */\n#pragma once\n")
        sees(1, tidy.opening, "src/net/x.h", "/* What. */\n")
        sees(2, tidy.opening, "src/net/x.h", "int x;\n")
        sees(1, tidy.opening, "lua/x.lua", "local x\n")
        sees(0, tidy.opening, "lua/x.lua", "#!/usr/bin/env luajit\n--- What.\n")
    end)

    it("see what LuaJIT's parser could not read", function()
        sees(0, tidy.plain_header, "src/net/x.h", "/* no static inline here */ enum { A = 1 };\n#ifndef X\n#endif\n")
        sees(0, tidy.plain_header, "src/net/x.h", "#define must(x) ((x) ? 0 : 1)\n#define HERE\n")
        sees(0, tidy.plain_header, "src/net/x.h", "#ifndef MG_CDEF\nstatic inline int f(void) { return 1; }\n#endif\n")
        sees(0, tidy.plain_header, "src/net/x.h", "#define HIDDEN __attribute__((visibility(\"hidden\")))\n")
        sees(1, tidy.plain_header, "src/net/x.h", "#define A 1\n")
        sees(1, tidy.plain_header, "src/net/x.h", "static inline int f(void) { return 1; }\n")
    end)

    it("see unfinished marks and words of other houses", function()
        sees(0, tidy.words, "x", "todo list, a hackney carriage, XXXL\n")
        sees(1, tidy.words, "x", "/* " .. "TO" .. "DO: later */\n")
        sees(1, tidy.words, "x", "in /work" .. "/main/src\n")
    end)

    it("see a cycle, and name it", function()
        assert.is_nil(tidy.cycle { a = { "b", "c" }, b = { "c" }, c = {} })
        assert.equal("b → c → b", tidy.cycle { a = { "b" }, b = { "c" }, c = { "b" } })
        assert.same({ "moongate.a", "moongate" }, tidy.requires('local a = require "moongate.a"\n-- require "moongate.x"\nreturn require("moongate")\n'))
    end)
end)
