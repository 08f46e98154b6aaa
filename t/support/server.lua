--- A real Moongate for black-box specs: started on a port of its own, stopped with a limit, its log read, its exit code and the
--- sanitizers' reports checked. MG_BUILD names the build folder (default "build").
---
---     local server = require "t.support.server"
---     after_each(server.sweep)
---     local s = server.start { script = [[ local app = require "moongate".app() … return app ]] }
---     local c = s:connect()
---     s:stop()                                   -- asserts: exit code 0, in time, no worker left, no sanitizer report
local process = require "t.support.process"
local wire = require "t.support.wire"
local signal = require "posix.signal"

local M = {}
local server = {}
server.__index = server

local function absolute(path)
    return path:sub(1, 1) == "/" and path or require "posix.unistd".getcwd() .. "/" .. path
end

local root = absolute(os.getenv("MG_ROOT") or ".")
local build = absolute(os.getenv("MG_BUILD") or root .. "/build")
-- Sanitized code is several times slower: limits are for hangs, not for speed.
local SLOWNESS = build:match("asan") and 5 or 1
local living, folders, count = {}, {}, 0

M.binary = os.getenv("MG_BINARY") or (build .. "/moongate")
M.sanitized = SLOWNESS > 1

local function environment(extra)
    local env = {
        ASAN_OPTIONS = os.getenv("ASAN_OPTIONS") or "exitcode=99:abort_on_error=0:detect_stack_use_after_return=0",
        UBSAN_OPTIONS = os.getenv("UBSAN_OPTIONS") or "print_stacktrace=1:halt_on_error=1:exitcode=99",
    }
    for name, value in pairs(extra or {}) do env[name] = value end
    return env
end

--- What a sanitizer wrote to a log, from its first line on; nil when there is nothing.
local function sanitizer_report(log)
    local at = log:find("ERROR: %a+Sanitizer") or log:find("runtime error:", 1, true)
    return at and log:sub(at, at + 4000)
end

--- A private folder that `sweep` removes. `files` (name → text) are written into it; names may have folders.
---@return string path
function M.folder(files)
    local folder = process.folder()
    folders[#folders + 1] = folder
    for name, text in pairs(files or {}) do
        local parent = name:match("^(.*)/")
        if parent then assert(os.execute(("mkdir -p '%s/%s'"):format(folder, parent))) end
        process.write_file(folder .. "/" .. name, text)
    end
    return folder
end

--- Runs a command of the program to its end: `server.run({ "check", file })`.
---@return integer? code 128 + signal when killed, nil when it took longer than the limit
---@return string stdout
---@return string stderr
function M.run(arguments, seconds, env)
    local command = { M.binary, unpack(arguments) }
    command.env = environment(env)
    local code, out, err = process.run(command, (seconds or 10) * SLOWNESS)
    local report = sanitizer_report(err)
    if report then error("sanitizer report:\n" .. report, 2) end
    return code, out, err
end

local function command_line(options, instance)
    local command = {}
    for at, word in ipairs(options.through or {}) do command[at] = word end
    command[#command + 1] = M.binary
    if options.command then
        for _, word in ipairs(options.command) do command[#command + 1] = word end
    else
        command[#command + 1] = "run"
        command[#command + 1] = options.file or process.write_file(instance.folder .. "/app.lua", assert(options.script, "a script or a file"))
    end
    for _, address in ipairs(options.listen or { "127.0.0.1:0" }) do
        command[#command + 1] = "--listen"
        command[#command + 1] = address
    end
    if options.workers ~= false then
        command[#command + 1] = "--workers"
        command[#command + 1] = tostring(options.workers or 1)
    end
    command[#command + 1] = "--name"
    command[#command + 1] = instance.name
    for _, word in ipairs(options.args or {}) do command[#command + 1] = word end
    return command
end

--- Takes the addresses out of the ready line: every http://HOST:PORT and unix:PATH that it names.
local function read_ready_line(self, line)
    self.addresses = {}
    for scheme, rest in line:gmatch("(%a+):([^%s,]+)") do
        local host, port = rest:match("^//(.-):(%d+)/?$")
        if host then
            self.addresses[#self.addresses + 1] = { host = host:gsub("[%[%]]", ""), port = tonumber(port) }
            self.host = self.host or self.addresses[#self.addresses].host
            self.port = self.port or tonumber(port)
        elseif scheme == "unix" then
            self.addresses[#self.addresses + 1] = { path = rest }
            self.path = self.path or rest
        end
    end
    self.ready_line = line
end

--- Starts a server and returns when its ready line is there. Options:
---   `script` (text of an app or a config), `file` (its path) or `command` (words in place of `run FILE`);
---   `workers` (default 1; false: not said), `listen` (default { "127.0.0.1:0" }; {}: the config's), `args` (further words),
---   `through` (words before the program: one that starts it), `env`, `cwd`, `name` (default: one of its own), `seconds` (limit for the start, default 10).
---@return table server with host, port, path (of a unix socket), addresses, pid, name, folder, file
function M.start(options)
    count = count + 1
    local self = setmetatable({}, server)
    self.folder = M.folder(options.files)
    self.name = options.name or ("spec-%d-%d"):format(require "posix.unistd".getpid(), count)
    self.log_path = process.write_file(self.folder .. "/stderr", "")
    local command = command_line(options, self)
    self.file = options.file or self.folder .. "/app.lua"
    command.cwd, command.stderr, command.stdout = options.cwd, self.log_path, self.folder .. "/stdout"
    command.env = environment(options.env)
    self.process = process.spawn(command)
    self.pid = self.process.pid
    living[self] = true
    local ok, line = pcall(self.wait_log, self, "[^\n]*serves [^\n]*", options.seconds or 10)
    if not ok then
        self:kill()
        error(("the server did not become ready: %s"):format(line), 2)
    end
    read_ready_line(self, line)
    return self
end

--- All that the server wrote to standard error so far.
---@return string
function server:log() return process.read_file(self.log_path) end

--- Waits until the log matches a Lua pattern; the whole match is returned. Raises when the server ends before or time is over.
---@return string match
function server:wait_log(pattern, seconds)
    local limit = process.now() + (seconds or 5) * SLOWNESS
    while true do
        local ended = not self.process:is_running()
        local log = self:log()
        local from, to = log:find(pattern)
        if from then return log:sub(from, to) end
        if ended then error(("it ended (%s %s) with:\n%s"):format(self.process.how, self.process.code, log), 2) end
        if process.now() > limit then error(("no %q in its log in time:\n%s"):format(pattern, log), 2) end
        self.process:wait(0.002) -- wakes at its end, or to look at the log again
    end
end

--- A client connected to it (t/support/wire.lua), over TCP or, without a port, over its unix socket.
function server:connect(options)
    if self.port then return wire.connect(self.host, self.port, options) end
    return wire.connect("unix:" .. self.path, nil, options)
end

--- One request on a connection of its own: `s:get("/path", { ["x-a"] = "1" })`. Returns the response.
function server:get(path, fields)
    local client = self:connect()
    local response = client:get(path, fields)
    client:close()
    return response
end

--- Pids of the workers.
function server:workers() return process.children(self.pid) end

function server:signal(number) self.process:signal(number) end

local function must_be_clean(self, how, code, expected)
    local log = self:log()
    local report = sanitizer_report(log)
    if report then error("sanitizer report:\n" .. report, 3) end
    if not how then error(("it did not stop in time; its log:\n%s"):format(log), 3) end
    if how ~= "exited" or code ~= expected then
        error(("it %s with %d, expected exit code %d; its log:\n%s"):format(how, code, expected, log), 3)
    end
end

--- Kills the workers that outlived their master. Returns their pids.
local function kill_orphans(workers)
    local orphans = {}
    for _, pid in ipairs(workers) do
        if process.exists(pid) then
            signal.kill(pid, signal.SIGKILL)
            orphans[#orphans + 1] = pid
        end
    end
    return orphans
end

--- Waits for the end and checks it: the exit code (default 0), no sanitizer report, no worker left. `workers` are the pids to
--- look for (default: those of now). Returns the log.
---@return string log
function server:wait_end(expected, seconds, workers)
    workers = workers or self:workers()
    local how, code = self.process:wait((seconds or 10) * SLOWNESS)
    if not how then self.process:kill() end
    living[self] = nil
    local orphans = kill_orphans(workers)
    must_be_clean(self, how, code, expected or 0)
    if #orphans > 0 then error(("worker %d outlived its master; its log:\n%s"):format(orphans[1], self:log()), 2) end
    return self:log()
end

--- Asks it to stop (SIGTERM, or the signal given) and checks how it ended. Returns the log.
---@return string log
function server:stop(number, expected, seconds)
    local workers = self:workers()
    self:signal(number or signal.SIGTERM)
    return self:wait_end(expected, seconds, workers)
end

--- Ends it and its workers at once, without a check.
function server:kill()
    local workers = self:workers()
    self.process:kill()
    kill_orphans(workers)
    living[self] = nil
end

local successors = {}

--- Another process may become the master of this instance: sweep() asks it to end by its name.
function M.expect_successor(name) successors[name] = true end

--- For `after_each`: ends what a spec left running and removes the folders.
function M.sweep()
    for name in pairs(successors) do
        M.run { "stop", "--name", name }
        successors[name] = nil
    end
    for instance in pairs(living) do instance:kill() end
    for at = #folders, 1, -1 do process.remove_folder(table.remove(folders, at)) end
    wire.sweep()
end

return M
