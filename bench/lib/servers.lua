--- The servers that are measured: how each is started with an app, pinned to a core, and what it costs while it runs.
--- An app is one of "hello", "captures", "routes", "proxy", "files"; a server says which it has.
local socket = require "socket"
local signal = require "posix.signal"
local unistd = require "posix.unistd"
local process = require "t.support.process"
local wire = require "t.support.wire"
local machine = require "bench.lib.machine"

local M = {}
local server = {}
server.__index = server

local build = os.getenv("MG_BUILD") or "build"
M.binary = build .. "/moongate"
local TICKS = 100 -- USER_HZ, on every architecture that Debian builds for

--- Compiles a program of the bench once per run; its path.
local compiled = {}
function M.compile(name)
    if compiled[name] then return compiled[name] end
    local path = ("%s/bench-%s"):format(build, name)
    local code, out, err = process.run({ "sh", "-c", ('mkdir -p %s && ${CC:-cc} -std=gnu11 -D_GNU_SOURCE -O2 bench/%s.c -o %s -luring')
        :format(build, name, path) }, 60)
    if code ~= 0 then error(("bench/%s.c does not compile:\n%s%s"):format(name, out, err), 0) end
    compiled[name] = path
    return path
end

local function fill(template, words)
    return (process.read_file(template):gsub("@(%u+)@", function(word) return words[word:lower()] end))
end

local function config(name, words)
    return process.write_file(words.folder .. "/" .. name, fill("bench/peers/" .. name, words))
end

local function moongate(words, engine)
    return {
        M.binary, "run", words.file or ("bench/apps/%s.lua"):format(words.app), "--listen", "127.0.0.1:" .. words.port,
        "--workers", tostring(words.workers or 1), "--name", ("bench-%s-%d"):format(words.app, words.port),
        env = { ROUTES = tostring(words.routes or 1), UPSTREAM = words.upstream, FILES = words.files, MOONGATE_ENGINE = engine or "io_uring" },
    }
end

local function floor(words)
    if words.app == "proxy" then return { M.compile("floor_proxy"), words.port, words.upstream:match(":(%d+)$") } end
    if words.app == "tunnels" then return { M.compile("tunnels"), words.port } end
    return { M.compile("floor"), words.port, words.body_bytes and tostring(words.body_bytes) }
end

local KINDS = {
    floor = { program = "cc", apps = { hello = true, captures = true, proxy = true, files = true }, command = floor },
    moongate = { program = M.binary, command = moongate,
        apps = { hello = true, reload = true, work = true, captures = true, routes = true, proxy = true, files = true } },
    ["moongate-epoll"] = { program = M.binary, apps = { hello = true, captures = true, proxy = true, files = true },
        command = function(words) return moongate(words, "epoll") end },
    nginx = { program = "nginx", apps = { hello = true, reload = true, captures = true, proxy = true, files = true },
        command = function(words)
            return { "nginx", "-p", words.folder, "-e", "stderr", "-c", config(words.app == "reload" and "nginx-reload.conf" or "nginx.conf", words) }
        end },
    ["nginx-lua"] = { program = "nginx", apps = { hello = true, captures = true }, needs = "/usr/lib/nginx/modules/ngx_http_lua_module.so",
        command = function(words) return { "nginx", "-p", words.folder, "-e", "stderr", "-c", config("nginx-lua.conf", words) } end },
    haproxy = { program = "haproxy", apps = { hello = true, captures = true, proxy = true },
        command = function(words) return { "haproxy", "-db", "-q", "-f", config("haproxy.cfg", words) } end },
    h2o = { program = "h2o", apps = { hello = true, captures = true, files = true },
        command = function(words) return { "h2o", "-m", "worker", "-c", config("h2o.conf", words) } end },
}
-- In the order of the tables.
M.NAMES = { "floor", "moongate", "moongate-epoll", "nginx", "nginx-lua", "haproxy", "h2o" }

--- Whether a server is installed and has the app; otherwise nil and why not.
function M.can_run(name, app)
    local kind = KINDS[name]
    if not kind.apps[app] then return nil, "has no such app" end
    if not machine.has(kind.program) then return nil, kind.program .. " is not there" end
    if kind.needs and not unistd.access(kind.needs, "r") then return nil, kind.needs .. " is not there" end
    return true
end

local function wait_until_it_accepts(self)
    local limit = process.now() + 20
    repeat
        local s = socket.connect("127.0.0.1", tonumber(self.port))
        if s then return s:close() end
        self.process:wait(0.02)
    until not self.process:is_running() or process.now() > limit
    error(("%s does not accept connections:\n%s"):format(self.name, process.read_file(self.log)), 0)
end

--- Starts a server. `words`: app, cpu (nil: not pinned), and what the app needs: routes, workers, upstream, files, body_bytes.
---@return table server with name, port
function M.start(name, words)
    local self = setmetatable({ name = name, folder = process.folder(), port = tostring(wire.free_port()) }, server)
    self.log = self.folder .. "/log"
    local all = { port = self.port, folder = self.folder, user = os.getenv("USER") or "root", upstream = "127.0.0.1:9", files = self.folder }
    for key, value in pairs(words) do all[key] = value end
    local inner = KINDS[name].command(all)
    local command = words.cpu and { "taskset", "-c", tostring(words.cpu) } or { "env" }
    for _, word in ipairs(inner) do command[#command + 1] = word end
    command.env, command.stdout, command.stderr, command.group = inner.env, self.log, self.log, true
    self.process = process.spawn(command)
    local ok, message = pcall(wait_until_it_accepts, self)
    if ok then return self end
    self:stop()
    error(message, 0)
end

--- Its process and all that it started.
function server:pids()
    local pids, at = { self.process.pid }, 1
    while pids[at] do
        for _, child in ipairs(process.children(pids[at])) do pids[#pids + 1] = child end
        at = at + 1
    end
    return pids
end

--- CPU seconds used by a process with all its threads, user and system.
function M.cpu_seconds(pid)
    local file = io.open(("/proc/%d/stat"):format(pid))
    if not file then return 0 end
    local fields = file:read("*a"):match("^.*%) (.*)")
    file:close()
    local user, system = fields:match("^" .. ("%S+ "):rep(11) .. "(%d+) (%d+)")
    return (tonumber(user) + tonumber(system)) / TICKS
end

--- Has it take its config anew, the way its users do. Returns when that is all there is to wait for.
function server:reload()
    if self.name ~= "moongate" then return self.process:signal(signal.SIGHUP) end
    local code, _, err = process.run({ M.binary, "reload", "--name", "bench-reload-" .. self.port }, 20)
    if code ~= 0 then error("moongate reload: " .. err, 0) end
end

function server:cpu_seconds()
    local sum = 0
    for _, pid in ipairs(self:pids()) do sum = sum + M.cpu_seconds(pid) end
    return sum
end

--- Private memory of all its processes in bytes, as the kernel counts it for user space.
function server:private_bytes()
    local sum = 0
    for _, pid in ipairs(self:pids()) do
        local text = process.read_file(("/proc/%d/smaps_rollup"):format(pid))
        for kib in text:gmatch("Private_%a+:%s*(%d+) kB") do sum = sum + tonumber(kib) * 1024 end
    end
    return sum
end

function server:stop()
    self.process:signal(signal.SIGTERM)
    if not self.process:wait(5) then self.process:kill() end
    if self.process:group_lives() then signal.kill(-self.process.pid, signal.SIGKILL) end
    process.remove_folder(self.folder)
end

return M
