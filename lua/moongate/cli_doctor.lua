--- `moongate doctor [--json]`: what this machine offers to a gateway, and for each thing that will hurt the command that mends it. In: what
--- the program found by trying (src/proc/doctor.c), and files under /proc and /sys; out: one screen. Exit code 1 when nothing would be served.
local json = require "moongate.json"
local paths = require "moongate.paths"
local units = require "moongate.units"

local M = {}

local WIDTH = 16
local DESCRIPTORS_FEW, WATCHES_FEW, MEMORY_LITTLE, BACKLOG_MANY = 4096, 8192, 128 * 2 ^ 20, 1024
local PORTS_FEW = 8192
local NO_LIMIT = 2 ^ 60
local BIND_CAPABILITY = 10 -- CAP_NET_BIND_SERVICE

---@class moongate.Finding
---@field name string
---@field state "ok"|"note"|"bad"|"fatal"
---@field text string
---@field fix? string a command

local Report = {}
Report.__index = Report

function Report:add(name, state, text, fix)
    self[#self + 1] = { name = name, state = state, text = text, fix = fix }
end

--- ---- what files say ----

local function number_in(read, path)
    return tonumber(((read(path) or ""):match("^%s*(%-?%d+)")))
end

local function sysctl(read, name)
    return number_in(read, "/proc/sys/" .. name:gsub("%.", "/"))
end

--- The least limit from this process's group upward, in version 2 or 1 of the interface.
local function group_limit(read, controller, own, old)
    local least
    local function take(value) if value and value < NO_LIMIT and value >= 0 and (not least or value < least) then least = value end end
    for line in (read("/proc/self/cgroup") or ""):gmatch("[^\n]+") do
        local controllers, path = line:match("^%d+:([^:]*):(.*)$")
        local base = controllers == "" and "/sys/fs/cgroup" or ("," .. (controllers or "") .. ","):find("," .. controller .. ",", 1, true)
            and "/sys/fs/cgroup/" .. controllers
        local reader = controllers == "" and own or old
        while base and path do
            take(reader(base .. (path == "/" and "" or path)))
            path = path ~= "/" and (path:match("^(.+)/[^/]*$") or "/") or nil
        end
    end
    return least
end

local function memory_limit(read)
    return group_limit(read, "memory", function(at) return number_in(read, at .. "/memory.max") end,
        function(at) return number_in(read, at .. "/memory.limit_in_bytes") end)
end

local function cpu_limit(read)
    return group_limit(read, "cpu", function(at)
        local quota, period = (read(at .. "/cpu.max") or ""):match("^(%d+) (%d+)")
        return quota and tonumber(quota) / tonumber(period)
    end, function(at)
        local quota, period = number_in(read, at .. "/cpu.cfs_quota_us"), number_in(read, at .. "/cpu.cfs_period_us")
        return quota and quota > 0 and period and quota / period or nil
    end)
end

local function may_bind(read)
    local set = (read("/proc/self/status") or ""):match("CapEff:%s*(%x+)")
    return set ~= nil and math.floor(tonumber(set:sub(-8), 16) / 2 ^ BIND_CAPABILITY) % 2 == 1
end

--- ---- judgements ----

--- What the gateway would run on. epoll costs more for each request, but serves.
local function judge_engine(report, facts)
    local engine = facts.engine
    local by = engine.asked == engine.chosen and ", as $MOONGATE_ENGINE says" or ""
    if engine.chosen == "" then
        report:add("engine", "fatal", engine.message, engine.asked == "io_uring" and "unset MOONGATE_ENGINE   (epoll is taken then)" or nil)
    elseif engine.asked ~= "" and engine.asked ~= "auto" and by == "" then
        report:add("engine", "bad", ("%s; $MOONGATE_ENGINE names none: %q"):format(engine.chosen, engine.asked),
            "export MOONGATE_ENGINE=auto   (or io_uring, or epoll)")
    elseif engine.chosen == "io_uring" then
        report:add("engine", "ok", "io_uring" .. by)
    elseif by ~= "" then
        report:add("engine", "note", "epoll" .. by .. ": takes more CPU time than io_uring", facts.ring.opens and "unset MOONGATE_ENGINE" or nil)
    else
        report:add("engine", "ok", "epoll: takes more CPU time than io_uring, which is refused (see below)")
    end
end

local function judge_ring(report, facts, read)
    local ring, disabled = facts.ring, sysctl(read, "kernel.io_uring_disabled")
    local seccomp = (read("/proc/self/status") or ""):match("Seccomp:%s*(%d)")
    local around = ("kernel.io_uring_disabled = %s, seccomp %s"):format(disabled or "not there", seccomp == "2" and "filters calls" or "off")
    if not ring.opens then
        local why, fix = ring.message:match("^(.-); (.*)$")
        local said = why or ring.message
        local shown = (fix or ""):match("sysctl %-w .*$") or (fix or ""):match("ulimit .*$")
            or seccomp == "2" and "docker run --security-opt seccomp=seccomp.json …   (the profile that comes with Moongate; or seccomp=unconfined)" or fix
        return report:add("io_uring", "bad", said:find("kernel.io_uring_disabled", 1, true) and said or ("%s (%s)"):format(said, around), shown)
    end
    report:add("io_uring", "ok", "opens as a worker opens it; " .. around)
    for _, feature in ipairs(ring.features) do
        if not feature.works then
            report:add(feature.name, feature.needed and "fatal" or "note", ("missing (%s): %s"):format(feature.error, feature.needed and
                "needed so that " .. feature.use or "works without; with it, " .. feature.use),
                feature.needed and "use a kernel from 6.1 on   (or: moongate run --engine epoll …)" or nil)
        end
    end
    local works = {}
    for _, feature in ipairs(ring.features) do works[#works + 1] = feature.works and feature.name or nil end
    report:add("ring features", "ok", table.concat(works, ", "))
end

local function judge_limits(report, facts, read)
    local limits = facts.limits
    local most = limits.descriptors_most < 0 and math.huge or limits.descriptors_most
    local fix = "ulimit -n 65536   (systemd: LimitNOFILE=65536; docker run --ulimit nofile=65536:65536)"
    local text = ("%s open files allowed, a connection is one"):format(most == math.huge and "unlimited" or units.show_number(most))
    if most < limits.descriptors_least then
        report:add("descriptors", "fatal", ("%s; one worker needs %d"):format(text, limits.descriptors_least), fix)
    else
        report:add("descriptors", most < DESCRIPTORS_FEW and "bad" or "ok", text, most < DESCRIPTORS_FEW and fix or nil)
    end
    local backlog = sysctl(read, "net.core.somaxconn")
    if backlog then
        local few = backlog < BACKLOG_MANY
        report:add("backlog", few and "bad" or "ok", ("net.core.somaxconn = %d%s"):format(backlog, few and
            (": a burst of more connections is refused; %d are asked for"):format(limits.backlog) or ""), few and
            ("sysctl -w net.core.somaxconn=%d"):format(limits.backlog) or nil)
    end
    local files = sysctl(read, "fs.file-max")
    if files and files < limits.descriptors_least * 16 then
        report:add("all files", "bad", ("fs.file-max = %d open files for the whole machine"):format(files), "sysctl -w fs.file-max=1048576")
    end
    report:add("memlock", "ok", limits.memlock < 0 and "unlimited" or units.show_size(limits.memlock) .. " of memory may be locked")
end

local function judge_watches(report, facts, read)
    local watches, instances = sysctl(read, "fs.inotify.max_user_watches"), sysctl(read, "fs.inotify.max_user_instances")
    local text = ("%s watches, %s instances for this user"):format(watches or "?", instances or "?")
    if facts.limits.inotify ~= "" then
        report:add("inotify", "bad", ("cannot be used now (%s): changes of files are looked for instead of heard; %s"):format(facts.limits.inotify, text),
            ("sysctl -w fs.inotify.max_user_instances=%d fs.inotify.max_user_watches=%d"):format(math.max(512, (instances or 0) * 2),
            math.max(524288, watches or 0)))
    elseif watches and watches < WATCHES_FEW then
        report:add("inotify", "bad", text .. ": few for a folder of files that is served", "sysctl -w fs.inotify.max_user_watches=524288")
    else
        report:add("inotify", "ok", text)
    end
end

local function judge_ports(report, facts, read)
    local first = sysctl(read, "net.ipv4.ip_unprivileged_port_start") or 1024
    if first <= 80 or may_bind(read) then
        report:add("ports", "ok", first <= 80 and ("everybody may listen from %d on"):format(first) or "all, this process may listen on any")
    else
        report:add("ports", "note", ("from %d on; 80 and 443 are for the privileged"):format(first),
            ("setcap cap_net_bind_service=+ep %s   (or: sysctl -w net.ipv4.ip_unprivileged_port_start=80)"):format(
                facts.program ~= "" and facts.program or "moongate"))
    end
end

--- Each connection to a server of an upstream takes a port of ours.
local function judge_local_ports(report, _, read)
    local first, last = (read("/proc/sys/net/ipv4/ip_local_port_range") or ""):match("^(%d+)%s+(%d+)")
    if not first then return end
    local count = last - first + 1
    local few = count < PORTS_FEW
    report:add("local ports", few and "bad" or "ok", ("%d to %d%s"):format(first, last, few and
        (": at most %d connections to one server of an upstream"):format(count) or " for connections to upstreams"), few and
        'sysctl -w net.ipv4.ip_local_port_range="10240 65535"' or nil)
end

local function judge_around(report, facts, read)
    if facts.limits.loopback == 0 then
        report:add("loopback", "bad", "the interface lo is down: nobody reaches 127.0.0.1, nor do we reach upstreams there", "ip link set lo up")
    end
    if not read("/proc/self/status") then
        report:add("/proc", "note", "not there: limits and sysctls cannot be read, and status shows no memory", "mount -t proc proc /proc")
    end
end

local function judge_overcommit(report, _, read)
    if sysctl(read, "vm.overcommit_memory") == 2 then
        report:add("overcommit", "bad", "vm.overcommit_memory = 2: room that is set aside and never used counts as memory",
            "sysctl -w vm.overcommit_memory=0   (or lower limits.connections and limits.buffers)")
    end
end

local function judge_machine(report, facts, read)
    local limits, memory, cpu = facts.limits, memory_limit(read), cpu_limit(read)
    local text = ("%d of %d may be used: so many workers with --workers auto"):format(limits.cpus, limits.cpus_online)
    if cpu and cpu < limits.cpus then
        report:add("cpus", "bad", ("%s; but the group's quota is %.2g: more workers would be throttled"):format(text, cpu),
            ("moongate run --workers %d …   (or raise cpu.max)"):format(math.max(1, math.floor(cpu))))
    else
        report:add("cpus", "ok", text)
    end
    if memory then
        report:add("memory", memory < MEMORY_LITTLE and "bad" or "ok", ("the group may use %s"):format(units.show_size(math.floor(memory))),
            memory < MEMORY_LITTLE and "raise the container's memory (docker run --memory 512m), or lower limits.buffers and the caches" or nil)
    else
        report:add("memory", "ok", "no limit of a group")
    end
end

local function judge_folder(report, facts)
    local runtime = facts.runtime
    if runtime.problem == "" then return report:add("runtime folder", "ok", runtime.folder .. " can be written") end
    report:add("runtime folder", "fatal", runtime.problem, 'export MOONGATE_RUNTIME_DIR="$HOME/.moongate" && mkdir -p -m 700 "$HOME/.moongate"')
end

local function judge_compiler(report, facts)
    local compiler = facts.compiler
    if compiler.works then
        return report:add("LuaJIT", "ok", ("%s; handlers are compiled%s"):format(compiler.flavour, compiler.away and
            (", %d MiB from the interpreter (2 GiB are too far)"):format(compiler.away / 2 ^ 20) or ""))
    end
    report:add("LuaJIT", "bad", ("%s; nothing can be compiled here (%s): handlers are interpreted, several times slower"):format(compiler.flavour,
        compiler.why), compiler.fix)
end

--- Judges facts. `read(path)` gives the text of a file or nil.
---@param facts table
---@param read fun(path: string): string?
---@return moongate.Finding[]
function M.judge(facts, read)
    local report = setmetatable({}, Report)
    judge_engine(report, facts)
    judge_ring(report, facts, read)
    judge_folder(report, facts)
    judge_limits(report, facts, read)
    judge_watches(report, facts, read)
    judge_ports(report, facts, read)
    judge_local_ports(report, facts, read)
    judge_machine(report, facts, read)
    judge_overcommit(report, facts, read)
    judge_around(report, facts, read)
    judge_compiler(report, facts)
    local v = facts.versions
    report:add("versions", "ok", ("moongate %s, %s, liburing %s, cjson %s, zlib %s, brotli %s, zstd %s, %s"):format(v.moongate, v.lua, v.liburing, v.cjson,
        v.zlib, v.brotli, v.zstd, v.kernel))
    return report
end

--- ---- the compiler ----

local NO_MEMORY = 27 -- LuaJIT's trace error for code memory, by its words below

--- How far from the program, which has the interpreter in it, compiled code is: jumps between them must reach. nil where it cannot be told.
local function distance()
    local ok, util = pcall(require, "jit.util")
    local code, address = nil, nil
    for trace = 1, ok and util.tracemc and 100 or 0 do
        code, address = util.tracemc(trace)
        if code then break end
    end
    local from = (paths.read("/proc/self/maps") or ""):match("^(%x+)%-")
    if not address or not from then return nil end
    return math.abs(address % 2 ^ 48 - tonumber(from, 16))
end

--- Compiles a loop: whether that worked, and else why not.
local function try_compiler()
    local made, why = false, "no trace was begun"
    local function listen(what, _, _, _, code)
        if what == "stop" then made = true end
        if what == "abort" then why = "trace error " .. tostring(code) .. (code == NO_MEMORY and ", no memory for code" or "") end
    end
    local ok, has = pcall(jit.status)
    if not (ok and has) then return false, "the compiler is off" end
    jit.attach(listen, "trace")
    local sum = 0
    local run = assert(loadstring("local s = ... for i = 1, 1000 do s = s + i % 7 end return s"))
    sum = sum + run(sum)
    jit.attach(listen)
    return made, why
end

local function compiler_facts()
    local works, why = try_compiler()
    local is_open_resty = pcall(require, "table.clone")
    return {
        works = works, why = why, away = works and distance() or nil,
        flavour = ("%s for %s, %s"):format(jit.version, jit.arch, is_open_resty and "OpenResty's branch" or "the original"),
        fix = "allow memory that is written and then executed (SELinux: setsebool -P deny_execmem 0; systemd: MemoryDenyWriteExecute=no)",
    }
end

--- ---- printing ----

local MARKS = { ok = "ok  ", note = "note", bad = "BAD ", fatal = "FAIL" }

local function serves(findings)
    for _, finding in ipairs(findings) do
        if finding.state == "fatal" then return false end
    end
    return true
end

--- One line per finding, its cure below it.
---@param findings moongate.Finding[]
---@return string
function M.text(findings)
    local lines, problems = {}, 0
    for _, finding in ipairs(findings) do
        lines[#lines + 1] = ("%s  %s%s%s"):format(MARKS[finding.state], finding.name, (" "):rep(math.max(1, WIDTH - #finding.name)), finding.text)
        if finding.fix then lines[#lines + 1] = (" "):rep(WIDTH + 6) .. "→ " .. finding.fix end
        if finding.state == "bad" or finding.state == "fatal" then problems = problems + 1 end
    end
    local many = ("%d problem%s"):format(problems, problems == 1 and "" or "s")
    lines[#lines + 1] = serves(findings) and ("\nMoongate serves here%s."):format(problems > 0 and ", with " .. many or "")
        or ("\nMoongate cannot serve here: %s."):format(many)
    return table.concat(lines, "\n") .. "\n"
end

---@param options { answer: string, json?: boolean }
---@param out? file* standard output
---@return integer exit_code
function M.run(options, out)
    local facts = assert(json.decode(options.answer))
    facts.versions.cjson = require("cjson")._VERSION
    facts.compiler = compiler_facts()
    local findings = M.judge(facts, paths.read)
    local stream, ok = out or io.stdout, serves(findings)
    stream:write(options.json and json.encode { serves = ok, findings = json.array(findings), facts = facts } .. "\n" or M.text(findings))
    return ok and 0 or 1
end

return M
