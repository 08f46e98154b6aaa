--- The machine of a measurement: its cores and how to use two of them, its versions. Knows no name of the host.
local process = require "t.support.process"

local M = {}

local function first_line(...)
    local code, out, err = process.run({ ... }, 5)
    local text = (out .. err):match("[^\n]+")
    return code ~= nil and code ~= 127 and text or nil
end

local function read(path)
    local file = io.open(path)
    if not file then return "" end
    local text = file:read("*a")
    file:close()
    return text
end

--- "0-2,5" as { 0, 1, 2, 5 }.
local function numbers(list)
    local found = {}
    for from, to in list:gmatch("(%d+)%-?(%d*)") do
        for n = tonumber(from), tonumber(to) or tonumber(from) do found[#found + 1] = n end
    end
    return found
end

--- The cores this process may use.
function M.cores() return numbers(read("/proc/self/status"):match("Cpus_allowed_list:%s*(%S+)") or "0") end

--- A core for the server and one for the load, on different physical cores where there are such. The same twice on one core.
function M.two_cores()
    local cores, siblings = M.cores(), {}
    for _, n in ipairs(numbers(read(("/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list"):format(cores[1])))) do
        siblings[n] = true
    end
    for _, n in ipairs(cores) do
        if not siblings[n] then return cores[1], n end
    end
    return cores[1], cores[2] or cores[1]
end

--- Whether a program is there to be run.
function M.has(program) return process.run({ "sh", "-c", "command -v " .. program }, 5) == 0 end

--- Lines that say where the numbers come from.
function M.describe(binary)
    local cpu = read("/proc/cpuinfo"):match("model name%s*:%s*([^\n]+)") or "unknown CPU"
    local lines = {
        ("machine   %s, %d cores"):format(cpu, #M.cores()),
        ("kernel    %s"):format(first_line("uname", "-srm")),
        ("commit    %s"):format(first_line("git", "describe", "--always", "--dirty") or "unknown"),
    }
    for _, one in ipairs { { "moongate", binary, "version" }, { "luajit", "luajit", "-v" }, { "nginx", "nginx", "-v" },
        { "haproxy", "haproxy", "-v" }, { "h2o", "h2o", "-v" }, { "wrk", "wrk", "-v" }, { "compiler", "cc", "--version" } } do
        local version = M.has(one[2]) and first_line(unpack(one, 2))
        lines[#lines + 1] = ("%-9s %s"):format(one[1], version or "not there")
    end
    return lines
end

return M
