--- must() and never(): a broken claim ends the process and says which and where.
local process = require "t.support.process"
local c = require "t.support.c"

local PROGRAM = [[
#include "base/must.h"
int main(int argc, char **argv)
{
    (void)argv;
    must(argc < 10);
    must(argc != 2);
    if (argc == 3)
        never("come here");
    return 0;
}
]]

describe("a claim", function()
    local folder
    setup(function()
        folder = process.folder()
        process.write_file(folder .. "/claims.c", PROGRAM)
        local code, _, errors = process.run({ "cc", "-O2", "-DNDEBUG", "-Wall", "-Werror", "-I" .. c.root .. "/src", "-o", folder .. "/claims",
            folder .. "/claims.c", c.root .. "/src/base/must.c" }, 60)
        assert(code == 0, errors)
    end)
    teardown(function() process.remove_folder(folder) end)

    it("that holds costs nothing but itself", function()
        local code, output, errors = process.run { folder .. "/claims" }
        assert.same({ 0, "", "" }, { code, output, errors })
    end)

    it("that does not hold aborts, in every build, and says which and where", function()
        local code, _, errors = process.run { folder .. "/claims", "1" }
        assert.equal(128 + 6, code)
        assert.matches("^moongate: .*claims%.c:6: must hold, does not: argc != 2\n$", errors)
    end)

    it("that nobody comes here aborts, too", function()
        local code, _, errors = process.run { folder .. "/claims", "1", "2" }
        assert.equal(128 + 6, code)
        assert.matches("claims%.c:8: .*come here", errors)
    end)
end)
