--- Keep-alive clients under full load (t/support/steady.c) beside a spec: `local load = steady.start(port, 64)`, then `load:finish()` gives
--- its counts.
local fcntl = require "posix.fcntl"
local lfs = require "lfs"
local process = require "t.support.process"
local unistd = require "posix.unistd"

local M = {}
local Steady = {}
Steady.__index = Steady

local SECONDS_MOST = 120

local program
local function compiled()
    if program and lfs.attributes(program) then return program end
    program = process.compile("steady", process.folder())
    return program
end

--- Starts the load; returns when all connections are there.
---@param port integer
---@param connections integer
---@param path? string
function M.start(port, connections, path)
    local self = setmetatable({}, Steady)
    local folder = process.folder()
    self.output = process.write_file(folder .. "/out", "")
    local from, to = unistd.pipe()
    self.input = to
    fcntl.fcntl(to, fcntl.F_SETFD, fcntl.FD_CLOEXEC) -- its own copy would keep its input from ending
    self.process = process.spawn { compiled(), tostring(port), tostring(connections), tostring(SECONDS_MOST), path,
        stdin = ("/proc/self/fd/%d"):format(from), stdout = self.output, stderr = self.output }
    unistd.close(from)
    local limit = process.now() + 10
    repeat
        self.process:wait(0.005)
        local text = process.read_file(self.output)
        if process.now() > limit then error("the load did not begin: " .. text, 2) end
    until text:find("begun", 1, true)
    return self
end

--- How many answers there were, what went wrong, how long answers took in µs, and how often each body came.
---@return table counts answers, errors, refused, closed, silent, odd, p50, p99, most, bodies (by text)
function Steady:finish()
    unistd.close(self.input)
    if not self.process:wait(10) then self.process:kill() end
    local text = process.read_file(self.output)
    local counts = { bodies = {} }
    for key, value in text:gmatch("(%w+)=(%d+)") do counts[key] = tonumber(value) end
    for body, count in (text:match("bodies=([^\n]*)") or ""):gmatch("([^,]+):(%d+)") do counts.bodies[body] = tonumber(count) end
    if not counts.answers then error("the load said nothing: " .. text, 2) end
    return counts
end

return M
