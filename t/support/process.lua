--- Child processes for specs, the test runner and the bench. In: a command; out: a process with a pid that can be waited for,
--- with a limit, and killed. Nothing here waits without a limit, and a child inherits only its three standard descriptors.
local ffi = require "ffi"
local unistd = require "posix.unistd"
local fcntl = require "posix.fcntl"
local poll = require "posix.poll"
local signal = require "posix.signal"
local stdlib = require "posix.stdlib"
local wait = require "posix.sys.wait"
local time = require "posix.time"

ffi.cdef "long syscall(long number, ...);"
-- The same numbers on every architecture (Linux 5.1 and later).
local SYS_PIDFD_OPEN, SYS_CLOSE_RANGE = 434, 436

local M = {}
local process = {}
process.__index = process

--- Seconds of the monotonic clock.
function M.now()
    local t = time.clock_gettime(time.CLOCK_MONOTONIC)
    return t.tv_sec + t.tv_nsec / 1e9
end

--- Closes every descriptor from 3 up but those named: what a child inherits keeps its parent's connections open.
function M.close_others(...)
    local keep = { ... }
    table.sort(keep)
    local from = 3
    for _, fd in ipairs(keep) do
        if fd > from then ffi.C.syscall(SYS_CLOSE_RANGE, ffi.cast("long", from), ffi.cast("long", fd - 1), ffi.cast("long", 0)) end
        from = math.max(from, fd + 1)
    end
    ffi.C.syscall(SYS_CLOSE_RANGE, ffi.cast("long", from), ffi.cast("long", 0x7fffffff), ffi.cast("long", 0))
end

--- Waits on a descriptor until it is readable or the seconds are over.
---@return boolean readable
function M.readable(fd, seconds)
    return poll.rpoll(fd, math.max(0, math.ceil(seconds * 1000))) == 1
end

local function adopt(pid)
    local pidfd = tonumber(ffi.C.syscall(SYS_PIDFD_OPEN, ffi.cast("long", pid), ffi.cast("long", 0)))
    assert(pidfd >= 0, "pidfd_open failed: Linux 5.3 or later is needed")
    fcntl.fcntl(pidfd, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    return setmetatable({ pid = pid, pidfd = pidfd }, process)
end

local function redirect(fd, path)
    local flags = fd == 0 and fcntl.O_RDONLY or fcntl.O_WRONLY + fcntl.O_CREAT + fcntl.O_APPEND
    local opened = assert(fcntl.open(path, flags, 420)) -- 0644
    unistd.dup2(opened, fd)
end

local function become(command)
    redirect(0, command.stdin or "/dev/null")
    if command.stdout then redirect(1, command.stdout) end
    if command.stderr then redirect(2, command.stderr) end
    M.close_others()
    if command.cwd then assert(unistd.chdir(command.cwd)) end
    for name, value in pairs(command.env or {}) do stdlib.setenv(name, value or nil) end
    local words = { [0] = command[1], unpack(command, 2) }
    local _, message = unistd.execp(command[1], words)
    error(message)
end

--- Starts a program found on PATH. The list is its words; beside it `stdin`, `stdout`, `stderr` (files; output is appended),
--- `cwd`, `env` (name → value, or false to take it away) and `group` (true: leads a process group of its own).
---@return table process
function M.spawn(command)
    io.stdout:flush()
    io.stderr:flush()
    local pid = assert(unistd.fork())
    if pid == 0 then
        if command.group then unistd.setpid("p", 0, 0) end
        local _, message = pcall(become, command)
        io.stderr:write(command[1], ": ", tostring(message), "\n")
        io.stderr:flush()
        unistd._exit(127)
    end
    if command.group then unistd.setpid("p", pid, pid) end
    local child = adopt(pid)
    child.group = command.group
    return child
end

--- Runs a function in a forked child, which ends with exit code 0, or 1 when the function raised. `keep` lists descriptors that
--- the child needs beside the standard three.
---@return table process
function M.fork(keep, run)
    io.stdout:flush()
    io.stderr:flush()
    local pid = assert(unistd.fork())
    if pid == 0 then
        collectgarbage() -- what is garbage closes its descriptors now: later their numbers would be those of our own
        collectgarbage()
        M.close_others(unpack(keep))
        unistd._exit(pcall(run) and 0 or 1)
    end
    return adopt(pid)
end

--- Waits for the end, at most these seconds. Says how it ended once; later calls repeat it.
---@return string? how "exited" or "killed"; nil when it still runs
---@return integer? code exit code or signal number
function process:wait(seconds)
    if not self.how and M.readable(self.pidfd, seconds or 0) then
        local _, how, code = wait.wait(self.pid)
        self.how, self.code = how, code
        unistd.close(self.pidfd)
    end
    return self.how, self.code
end

function process:is_running() return self:wait(0) == nil end

--- Sends a signal (default SIGTERM) to the process; nothing happens when it has ended.
function process:signal(number)
    if self:is_running() then signal.kill(self.pid, number or signal.SIGTERM) end
end

--- Whether anything of the group that this process leads is left. A leader that has ended still gives the group its number.
function process:group_lives()
    return self.group and signal.kill(-self.pid, 0) == 0
end

--- Ends the process (and the group that it leads) at once and reaps it.
function process:kill()
    if self.group then signal.kill(-self.pid, signal.SIGKILL) end
    self:signal(signal.SIGKILL)
    return self:wait(10)
end

--- Runs a command to its end. Returns exit code (128 + signal when killed, nil after the limit), standard output and error.
---@return integer? code
---@return string stdout
---@return string stderr
function M.run(command, seconds)
    local out, err = os.tmpname(), os.tmpname()
    command.stdout, command.stderr = out, err
    local child = M.spawn(command)
    local how, code = child:wait(seconds or 10)
    if not how then child:kill() end
    local output, errors = M.read_file(out), M.read_file(err)
    os.remove(out)
    os.remove(err)
    return how == "exited" and code or how and 128 + code or nil, output, errors
end

function M.read_file(path)
    local file = assert(io.open(path, "rb"))
    local text = file:read("*a")
    file:close()
    return text
end

function M.write_file(path, text)
    local file = assert(io.open(path, "wb"))
    file:write(text)
    file:close()
    return path
end

--- A new private folder under TMPDIR or /tmp.
function M.folder()
    return assert(stdlib.mkdtemp((os.getenv("TMPDIR") or "/tmp") .. "/moongate-XXXXXX"))
end

--- Compiles t/support/NAME.c into a folder: the program's path. Raises with what the compiler says.
---@param name string
---@param folder string
---@return string program
function M.compile(name, folder)
    local program = folder .. "/" .. name
    local code, out, err = M.run({ "cc", "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror", "-o", program,
        ("%s/t/support/%s.c"):format(os.getenv("MG_ROOT") or ".", name) }, 60)
    if code ~= 0 then error(("t/support/%s.c does not compile:\n%s%s"):format(name, out, err), 2) end
    return program
end

--- Removes a folder made by `folder` and all that is in it.
function M.remove_folder(path)
    assert(path:match("/moongate%-%w+$"), "not a folder of ours: " .. path)
    M.spawn({ "rm", "-rf", path }):wait(10)
end

--- Whether a process of this pid runs (one that has ended and waits to be reaped does not).
function M.exists(pid)
    local file = io.open(("/proc/%d/stat"):format(pid))
    if not file then return false end
    local state = file:read("*a"):match("^.*%) (%a)")
    file:close()
    return state ~= "Z" and state ~= "X"
end

--- Children of a process, by pid, as the kernel tells them.
function M.children(pid)
    local file = io.open(("/proc/%d/task/%d/children"):format(pid, pid))
    local pids = {}
    if file then
        for child in file:read("*a"):gmatch("%d+") do pids[#pids + 1] = tonumber(child) end
        file:close()
    end
    return pids
end

return M
