--- Where the kernel refuses io_uring, the message names the cause and the cure, and there is another engine.
local process = require "t.support.process"
local c = require "t.support.c"

-- A child of its own: the refusal holds for a process and cannot be taken back. ENGINE is its choice: 0 is left to it, 1 is the ring.
local CHILD = [[
package.path = "./?.lua;" .. package.path
local ffi = require "ffi"
local c = require "t.support.c"
c.header("net/net.h")
local message = ffi.new("char[512]")
local net = c.lib().net_new(ffi.new("struct net_options", { connections = 4, buffer_bytes = 65536, engine = ENGINE }), message, 512)
local engine = net ~= nil and ffi.string(c.lib().net_engine_name(c.lib().net_engine(net)))
io.write(engine and "opened " .. engine .. ": " or "refused: ", ffi.string(message))
]]

describe("an engine that is refused io_uring", function()
    local folder
    setup(function()
        folder = process.folder()
        process.compile("refuse", folder)
    end)
    teardown(function() process.remove_folder(folder) end)

    --- What comes of it when the ring is asked for, or, `engine` 0, when it is left to the engine.
    local function try(command, error, engine, variable)
        local words = { command, error, env = { MOONGATE_ENGINE = variable or false } }
        for _, word in ipairs { "luajit", "-e", (CHILD:gsub("ENGINE", engine or 1)) } do words[#words + 1] = word end
        local code, output, errors = process.run(words, 20)
        assert(code == 0, errors)
        return output
    end

    it("says that a container's profile forbids it, and how to allow it", function()
        local message = try(folder .. "/refuse", "EPERM")
        assert.matches("^refused: io_uring is refused to this process", message)
        assert.matches("seccomp profile", message, 1, true)
        assert.matches("--security-opt seccomp=unconfined", message, 1, true)
        assert.matches("io_uring_setup, io_uring_enter and io_uring_register", message, 1, true)
    end)

    it("says that the kernel has none or hides it, and which kernel to use", function()
        local message = try(folder .. "/refuse", "ENOSYS")
        assert.matches("^refused: io_uring is not there: this kernel %(%d+%.%d+", message)
        assert.matches("6.1", message, 1, true)
        assert.matches("seccomp", message, 1, true)
    end)

    it("says which limit of memory to raise", function()
        assert.matches("^refused: .*ulimit %-l unlimited", try(folder .. "/refuse", "ENOMEM"))
    end)

    it("says that the kernel lacks what is needed", function()
        assert.matches("^refused: .*use a kernel from 6.1 on", try(folder .. "/refuse", "EINVAL"))
    end)

    it("says what the kernel said, when it is none of these", function()
        assert.matches("^refused: io_uring: Too many open files$", try(folder .. "/refuse", "24"))
    end)

    it("takes epoll when it may choose, and says why and how to get the ring", function()
        for _, error in ipairs { "EPERM", "ENOSYS", "ENOMEM", "EINVAL", "24" } do
            local refused, opened = try(folder .. "/refuse", error), try(folder .. "/refuse", error, 0)
            assert.equal("opened epoll: serving with epoll, which takes more CPU time: " .. refused:sub(#"refused: " + 1), opened)
        end
    end)

    it("opens where nothing refuses, without a message", function()
        assert.equal("opened io_uring: ", try("env", "X=1"))
        assert.equal("opened io_uring: ", try("env", "X=1", 0))
        assert.equal("opened epoll: ", try("env", "X=1", 2))
        assert.equal("opened epoll: ", try(folder .. "/refuse", "EPERM", 2))
    end)

    it("lets the environment choose where nobody else has", function()
        assert.equal("opened epoll: ", try("env", "X=1", 0, "epoll"))
        assert.equal("opened io_uring: ", try("env", "X=1", 1, "epoll"))
        assert.equal("opened io_uring: ", try("env", "X=1", 0, "another"))
        assert.matches("^refused: ", try(folder .. "/refuse", "EPERM", 0, "io_uring"))
    end)

    it("closes no descriptor of others when memory for the ring is denied", function()
        -- No address space for the ring's pages: it is made, and cannot be mapped.
        local script = CHILD:gsub("ENGINE", 1):gsub("local message", [[
            local resource = require "posix.sys.resource"
            local pages = tonumber(io.open("/proc/self/statm"):read("*n"))
            c.lib()
            collectgarbage()
            resource.setrlimit(resource.RLIMIT_AS, { rlim_cur = pages * 4096 + 60000, rlim_max = -1 })
            local message]], 1) .. [[ io.write(" stdin ", require("posix.fcntl").fcntl(0, 1) and "lives" or "is gone")]]
        local code, output, errors = process.run({ "luajit", "-e", script }, 20)
        assert(code == 0, errors)
        assert.matches("^refused: io_uring: not enough memory for the ring.* stdin lives$", output)
    end)
end)
