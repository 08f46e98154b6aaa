--- A file that could not be opened because the process had no descriptor left stayed unreadable when it had some again.
local unistd = require "posix.unistd"
local resource = require "posix.sys.resource"

describe("an error of the machine", function()
    if not require("t.support.c").has_lib() then
        it("is seen in a build with the rooms as a library", function() pending("this build has the program alone") end)
        return
    end
    local driver = require "t.file.driver"
    after_each(driver.sweep)

    it("is told, and not kept", function()
        local d = driver.new()
        local root = d:open("")
        d:write("a", "text of a")
        d:write("b", "text of b")
        assert.equal("text of a", d:get(root, "a").body)
        local before, fillers = resource.getrlimit(resource.RLIMIT_NOFILE), {}
        assert(resource.setrlimit(resource.RLIMIT_NOFILE, { rlim_cur = 64, rlim_max = before.rlim_max }))
        for _ = 1, 64 do fillers[#fillers + 1] = unistd.dup(0) end
        local failed, kept = d:get(root, "b").error, d:get(root, "a").body
        for _, fd in ipairs(fillers) do unistd.close(fd) end
        assert(resource.setrlimit(resource.RLIMIT_NOFILE, before))
        assert.equal(-24, failed)
        assert.equal("text of a", kept)
        assert.equal("text of b", d:get(root, "b").body)
    end)
end)
