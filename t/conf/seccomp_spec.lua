--- conf/seccomp.json, the profile for containers: every call that a gateway makes is in it, on either engine, whatever it is asked to do.
local cjson = require "cjson"
local process = require "t.support.process"
local server = require "t.support.server"

local SITE = [[
local mg = require "moongate"
local app = mg.app()
app:get("/", function() return "hello" end)
app:get("/name", function() return mg.fetch and tostring(mg.fetch("http://127.0.0.1:1/")) or "" end)
app:files("/files/*", "public", { list = true })
app:proxy("/back/*", "127.0.0.1:1")
return app]]

local function allowed()
    local profile = cjson.decode(process.read_file("conf/seccomp.json"))
    assert.equal("SCMP_ACT_ERRNO", profile.defaultAction)
    local names = {}
    for _, rule in ipairs(profile.syscalls) do
        if rule.action ~= "SCMP_ACT_ALLOW" then assert.same({ "SCMP_ACT_ERRNO", 38, { "clone3" } }, { rule.action, rule.errnoRet, rule.names }) end
        for _, name in ipairs(rule.names) do
            assert.is_nil(names[name], name .. " is there twice")
            names[name] = true
        end
    end
    return names
end

--- The names of the calls in what strace wrote.
local function calls_in(path)
    local seen = {}
    for line in io.lines(path) do
        local name = line:match("^%d+ +[%d:.]* *([%l%d_]+)%(") or line:match("<%.%.%. ([%l%d_]+) resumed>")
        if name then seen[name] = true end
    end
    return seen
end

describe("the seccomp profile", function()
    after_each(server.sweep)

    it("allows the ring, and none of the calls that contain a container", function()
        local names = allowed()
        for _, name in ipairs { "io_uring_setup", "io_uring_enter", "io_uring_register", "execve" } do assert.is_true(names[name], name) end
        for _, name in ipairs { "mount", "umount2", "ptrace", "bpf", "init_module", "kexec_load", "pivot_root", "reboot", "setns", "unshare",
            "keyctl", "perf_event_open", "process_vm_writev", "open_by_handle_at", "userfaultfd" } do
            assert.is_nil(names[name], name)
        end
    end)

    for _, engine in ipairs(server.sanitized and {} or { "io_uring", "epoll" }) do -- a sanitizer has calls of its own, and bears no strace
        it(("allows all that a gateway on %s does in a life with files, reloads, upstreams, an upgrade and commands"):format(engine), function()
            local folder = server.folder { ["public/a.txt"] = ("text "):rep(1000), ["public/big"] = ("x"):rep(5000000), ["app.lua"] = SITE,
                ["site.lua"] = "return { app = 'app.lua', reload = 'watch', log = { access = 'access.log', errors = 'errors.log' } }" }
            local trace = folder .. "/trace"
            local tracer = { "strace", "-f", "-qq", "-o", trace }
            local s = server.start { through = tracer, file = folder .. "/site.lua", workers = 2, args = { "--engine", engine } }
            for _, path in ipairs { "/", "/name", "/files/a.txt", "/files/big", "/files/", "/files/none", "/back/x" } do s:get(path) end
            assert.equal(200, s:get("/files/a.txt", { ["accept-encoding"] = "gzip, br, zstd" }).status)
            process.write_file(folder .. "/app.lua", SITE .. "\n-- changed")
            assert.equal(0, (server.run { "reload", "--name", s.name }))
            local seen = calls_in(trace)
            for _, words in ipairs { { "status" }, { "doctor" }, { "stop" } } do
                local more = folder .. "/more"
                local command = { "strace", "-f", "-qq", "-o", more, server.binary, words[1] }
                if words[1] ~= "doctor" then command[#command + 1], command[#command + 2] = "--name", s.name end
                process.run(command, 20)
                for name in pairs(calls_in(more)) do seen[name] = true end
            end
            s:wait_end()
            for name in pairs(calls_in(trace)) do seen[name] = true end
            assert.is_true(seen[engine == "epoll" and "epoll_wait" or "io_uring_enter"])
            local names, missing = allowed(), {}
            for name in pairs(seen) do
                if not names[name] then missing[#missing + 1] = name end
            end
            table.sort(missing)
            assert.equal("", table.concat(missing, " "))
        end)
    end
end)
