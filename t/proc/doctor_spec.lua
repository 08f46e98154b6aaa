--- `moongate doctor`: src/proc/doctor.c and src/net/probe.c try things out, lua/moongate/cli_doctor.lua judges.
local cjson = require "cjson"
local doctor = require "moongate.cli_doctor"
local instance = require "t.support.instance"
local process = require "t.support.process"
local server = require "t.support.server"

local function find(findings, name)
    for _, finding in ipairs(findings) do
        if finding.name == name then return finding end
    end
    error("nothing about " .. name, 2)
end

describe("moongate doctor", function()
    local refuse, folder
    setup(function()
        folder = process.folder()
        refuse = process.compile("refuse", folder)
    end)
    teardown(function() process.remove_folder(folder) end)
    before_each(function()
        instance.begin()
        server.binary = instance.real
    end)
    after_each(instance.sweep)

    local function run(words, env)
        local command = words
        command[#command + 1] = server.binary
        command[#command + 1] = "doctor"
        command.env = { MOONGATE_RUNTIME_DIR = instance.runtime(), MOONGATE_ENGINE = false }
        for name, value in pairs(env or {}) do command.env[name] = value end
        return process.run(command, 20)
    end

    it("says that all is well where it is, with every feature of the ring tried", function()
        local code, out, err = run { "env" }
        assert.same({ 0, "" }, { code, err })
        assert.matches("^ok    engine +io_uring\nok    io_uring ", out)
        assert.matches("\nok    LuaJIT +LuaJIT 2[^\n]*; handlers are compiled, %d+ MiB from the interpreter", out)
        assert.matches("\nok    ring features +buffer ring, multishot receive, multishot accept, multishot poll, openat2", out)
        assert.matches("\nMoongate serves here[^\n]*%.\n$", out)
        for line in out:gmatch("[^\n]+") do assert.is_true(#line <= 200, line) end
        for _, word in ipairs { "liburing 2", "cjson 2", "zlib 1", "brotli 1", "zstd 1", "LuaJIT 2" } do assert.is_truthy(out:find(word, 1, true), word) end
    end)

    it("answers in JSON", function()
        local code, out = instance.run({ "doctor", "--json" }, 10, { MOONGATE_ENGINE = false })
        assert.equal(0, code)
        local answer = cjson.decode(out)
        assert.is_true(answer.serves)
        assert.is_true(answer.facts.ring.opens)
        assert.is_true(answer.facts.compiler.works)
        assert.equal("ok", find(answer.findings, "runtime folder").state)
    end)

    it("serves with epoll where io_uring is refused, and says the cause and the cure", function()
        for error, pattern in pairs { EPERM = "refused to this process", ENOSYS = "is not there", EINVAL = "lacks what Moongate needs" } do
            local code, out = run { refuse, error }
            assert.equal(0, code)
            assert.matches("^ok    engine +epoll: takes more CPU time", out)
            assert.matches("\nBAD   io_uring +[^\n]*" .. pattern, out)
            assert.matches("→ [^\n]*seccomp=seccomp.json[^\n]*seccomp=unconfined", out)
            assert.matches("\nMoongate serves here, with 1 problem%.\n$", out)
        end
        local code, out = run { refuse, "ENOMEM" }
        assert.equal(0, code)
        assert.matches("→ ulimit %-l unlimited\n", out)
    end)

    it("fails where io_uring is refused and nothing else may be taken", function()
        local code, out = run({ refuse, "EPERM" }, { MOONGATE_ENGINE = "io_uring" })
        assert.equal(1, code)
        assert.matches("^FAIL  engine +io_uring is refused to this process[^\n]*\n +→ unset MOONGATE_ENGINE", out)
        assert.matches("\nMoongate cannot serve here: 2 problems%.\n$", out)
        code, out = run({ "env" }, { MOONGATE_ENGINE = "epoll" })
        assert.equal(0, code)
        assert.matches("^note  engine +epoll, as $MOONGATE_ENGINE says", out)
        code, out = run({ "env" }, { MOONGATE_ENGINE = "kqueue" })
        assert.equal(0, code)
        assert.matches('^BAD   engine +io_uring; $MOONGATE_ENGINE names none: "kqueue"\n +→ export MOONGATE_ENGINE=auto', out)
    end)

    it("fails where too few files may be open, as `run` does", function()
        local script = { "sh", "-c", "ulimit -n 60 && exec \"$0\" \"$@\"" }
        local code, out = run(script)
        assert.equal(1, code)
        assert.matches("FAIL  descriptors +60 open files allowed[^\n]*; one worker needs %d+\n +→ ulimit %-n 65536", out)
        local least = tonumber(out:match("one worker needs (%d+)"))
        code, out = run { "sh", "-c", ("ulimit -n %d && exec \"$0\" \"$@\""):format(least) }
        assert.equal(0, code)
        assert.matches("BAD   descriptors +" .. least, out)
    end)

    it("fails where the runtime folder cannot be written", function()
        local code, out = run({ "env" }, { MOONGATE_RUNTIME_DIR = "/proc/nowhere" })
        assert.equal(1, code)
        assert.matches("FAIL  runtime folder +[^\n]*/proc/nowhere[^\n]*\n +→ export MOONGATE_RUNTIME_DIR=", out)
    end)

    it("leaves nothing in the runtime folder", function()
        run { "env" }
        local handle = io.popen("ls -A " .. instance.runtime())
        assert.equal("", handle:read("*a"))
        handle:close()
    end)
end)

describe("what doctor says of a machine", function()
    local function facts(changes)
        local made = {
            uid = 1000, program = "/opt/moongate", runtime = { folder = "/run/moongate", problem = "" },
            engine = { chosen = "io_uring", asked = "", message = "" },
            ring = { opens = true, message = "", features = { { name = "buffer ring", use = "x", works = true, needed = true, error = "" } } },
            limits = { descriptors = 20000, descriptors_most = 20000, descriptors_least = 66, memlock = -1, cpus = 4, cpus_online = 4, backlog = 4096, loopback = 1, inotify = "" },
            compiler = { works = true, flavour = "LuaJIT" },
            versions = { moongate = "1", lua = "2", liburing = "3", zlib = "4", brotli = "7", zstd = "8", kernel = "5", cjson = "6" },
        }
        for path, value in pairs(changes or {}) do
            local at, key = made, path
            for step, rest in path:gmatch("([^.]+)%.(.*)") do at, key = made[step], rest end
            at[key] = value
        end
        return made
    end

    local FILES = {
        ["/proc/sys/kernel/io_uring_disabled"] = "0\n", ["/proc/sys/net/core/somaxconn"] = "4096\n",
        ["/proc/sys/net/ipv4/ip_unprivileged_port_start"] = "0\n", ["/proc/sys/fs/inotify/max_user_watches"] = "65536\n",
        ["/proc/sys/fs/inotify/max_user_instances"] = "128\n", ["/proc/self/cgroup"] = "0::/a/b\n", ["/proc/self/status"] = "CapEff:\t0000000000000000\nSeccomp:\t0\n",
    }

    local function judged(changes, files)
        local findings = doctor.judge(facts(changes), function(path) return files and files[path] or FILES[path] end)
        return findings, function(name) return find(findings, name) end
    end

    it("is good where nothing is wrong", function()
        for _, finding in ipairs(judged()) do assert.equal("ok", finding.state, finding.name) end
    end)

    it("tells io_uring that is switched off from one that is refused", function()
        local _, of = judged({ ["ring.opens"] = false, ["ring.message"] = "io_uring is switched off on this machine (x); switch it on with: sysctl -w kernel.io_uring_disabled=0" })
        assert.equal("bad", of("io_uring").state)
        assert.equal("sysctl -w kernel.io_uring_disabled=0", of("io_uring").fix)
    end)

    it("tells of a loopback that is down and of a missing /proc", function()
        local _, of = judged({ ["limits.loopback"] = 0 })
        assert.equal("ip link set lo up", of("loopback").fix)
        _, of = judged({ ["limits.loopback"] = -1 })
        assert.error(function() of("loopback") end)
        assert.error(function() of("/proc") end)
        local findings = doctor.judge(facts(), function() return nil end)
        assert.equal("note", find(findings, "/proc").state)
    end)

    it("tells what is short for the whole machine", function()
        local PORTS, FILES_MAX = "/proc/sys/net/ipv4/ip_local_port_range", "/proc/sys/fs/file-max"
        for range, state in pairs { ["32768\t60999\n"] = "ok", ["1000\t9191\n"] = "ok", ["1000\t9190\n"] = "bad" } do
            local _, of = judged({}, { [PORTS] = range })
            assert.equal(state, of("local ports").state)
        end
        local _, of = judged({}, { [FILES_MAX] = "1055\n", ["/proc/sys/vm/overcommit_memory"] = "2\n" })
        assert.equal("sysctl -w fs.file-max=1048576", of("all files").fix)
        assert.matches("^sysctl %-w vm.overcommit_memory=0", of("overcommit").fix)
        _, of = judged({}, { [FILES_MAX] = "1056\n", ["/proc/sys/vm/overcommit_memory"] = "1\n" })
        assert.error(function() of("all files") end)
        assert.error(function() of("overcommit") end)
    end)

    it("tells a feature that is needed from one that is not", function()
        local _, of = judged({ ["ring.features"] = { { name = "openat2", use = "y", works = false, needed = true, error = "no" },
            { name = "registered ring", use = "z", works = false, needed = false, error = "no" } } })
        assert.equal("fatal", of("openat2").state)
        assert.equal("note", of("registered ring").state)
    end)

    it("names limits on both sides", function()
        for _, case in ipairs {
            { "descriptors", "limits.descriptors_most", 4096, 4095, "ulimit -n" }, { "descriptors", "limits.descriptors_most", 66, 65, "ulimit -n", "fatal", "bad" },
            { "inotify", "limits.inotify", "", "Too many open files", "sysctl -w fs.inotify.max_user_instances" },
            { "LuaJIT", "compiler.works", true, false, nil },
        } do
            local _, good = judged({ [case[2]] = case[3] })
            assert.equal(case[7] or "ok", good(case[1]).state, case[2])
            local _, bad = judged({ [case[2]] = case[4] })
            assert.equal(case[6] or "bad", bad(case[1]).state, case[2])
            if case[5] then assert.is_truthy(bad(case[1]).fix:find(case[5], 1, true)) end
        end
        for _, case in ipairs {
            { "backlog", "/proc/sys/net/core/somaxconn", "1024", "1023", "bad" }, { "inotify", "/proc/sys/fs/inotify/max_user_watches", "8192", "8191", "bad" },
            { "ports", "/proc/sys/net/ipv4/ip_unprivileged_port_start", "80", "81", "note" },
            { "cpus", "/sys/fs/cgroup/a/cpu.max", "400000 100000", "399999 100000", "bad" }, { "cpus", "/sys/fs/cgroup/cpu.max", "max 100000", "50000 100000", "bad" },
            { "memory", "/sys/fs/cgroup/a/b/memory.max", "134217728", "134217727", "bad" }, { "memory", "/sys/fs/cgroup/memory.max", "max", "1048576", "bad" },
        } do
            local _, good = judged(nil, { [case[2]] = case[3] })
            assert.equal("ok", good(case[1]).state, case[2])
            local _, bad = judged(nil, { [case[2]] = case[4] })
            assert.equal(case[5], bad(case[1]).state, case[2])
            assert.is_truthy(bad(case[1]).fix)
        end
        local _, of = judged(nil, { ["/proc/self/cgroup"] = "4:memory:/x\n2:cpu,cpuacct:/x\n", ["/sys/fs/cgroup/memory/memory.limit_in_bytes"] = "1000000",
            ["/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us"] = "100000", ["/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us"] = "100000" })
        assert.equal("bad", of("memory").state)
        assert.matches("%-%-workers 1 ", of("cpus").fix)
        _, of = judged(nil, { ["/proc/sys/net/ipv4/ip_unprivileged_port_start"] = "1024", ["/proc/self/status"] = "CapEff:\t0000000000000400\n" })
        assert.equal("ok", of("ports").state)
    end)

    it("ends with whether anything would be served", function()
        assert.matches("\nMoongate serves here%.\n$", doctor.text((judged())))
        assert.matches("\nMoongate serves here, with 1 problem%.\n$", doctor.text((judged({ ["limits.descriptors_most"] = 100 }))))
        assert.matches("\nMoongate cannot serve here: 2 problems%.\n$",
            doctor.text((judged({ ["limits.descriptors_most"] = 10, ["runtime.problem"] = "no folder" }))))
    end)
end)
