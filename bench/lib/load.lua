--- Load on a server, and what it cost: runs wrk for some seconds and reads the CPU time of both sides around it.
local unistd = require "posix.unistd"
local process = require "t.support.process"
local servers = require "bench.lib.servers"
local wire = require "t.support.wire"

local M = {}

--- Raises unless one request for the path is answered with this body; a server that answers something else is not comparable.
function M.check(server, path, body)
    local client = wire.connect("127.0.0.1", tonumber(server.port))
    local response = client:get(path)
    client:close()
    if response.status ~= 200 or response.body ~= body then
        error(("%s answers GET %s with %d %q, not with %q"):format(server.name, path, response.status, response.body:sub(1, 100), body:sub(1, 100)), 0)
    end
end

local function start_wrk(server, load, seconds, output)
    local command = {
        "taskset", "-c", tostring(load.cpu), "wrk", "-t", tostring(load.threads or 1), "-c", tostring(load.connections),
        "-d", ("%ds"):format(seconds), "-s", "bench/wrk.lua", ("http://127.0.0.1:%s"):format(server.port), "--", tostring(load.depth),
        stdout = output, stderr = output,
    }
    for _, path in ipairs(load.paths) do command[#command + 1] = path end
    return process.spawn(command)
end

--- One measurement. `load`: cpu (a list as taskset takes it), connections, depth, paths, threads.
---@return table { rate, cpu_us, p50_us, p99_us, errors, server_share, load_share }
function M.run(server, load, seconds)
    local output = os.tmpname()
    local cpu, began = server:cpu_seconds(), process.now()
    local wrk = start_wrk(server, load, seconds, output)
    if not process.readable(wrk.pidfd, seconds + 30) then
        wrk:kill()
        error(("the load on %s did not end"):format(server.name), 0)
    end
    cpu, began = server:cpu_seconds() - cpu, process.now() - began
    local load_cpu = servers.cpu_seconds(wrk.pid) -- still there: it is reaped by the next line
    wrk:wait(1)
    local text = process.read_file(output)
    os.remove(output)
    local requests, us, p50, p99, errors = text:match("result requests=(%d+) us=(%d+) p50=(%d+) p99=(%d+) errors=(%d+)")
    if not requests or tonumber(requests) == 0 then error(("no answers from %s:\n%s"):format(server.name, text), 0) end
    return {
        rate = requests / (us / 1e6), cpu_us = cpu * 1e6 / requests, p50_us = tonumber(p50), p99_us = tonumber(p99),
        errors = tonumber(errors), server_share = cpu / began, load_share = load_cpu / began,
    }
end

--- Large answers, taken without being looked at, with a neighbour that asks for something small meanwhile. `load`: cpu, path, connections,
--- neighbour (a path).
---@return table { rate, mib, cpu_us (per answer), cpu_us_mib, p50_us, p99_us, max_us (of the neighbour), grown (bytes), errors, server_share, load_share }
function M.take(server, load, seconds)
    local output, sink = os.tmpname(), servers.compile("sink")
    local private, most = server:private_bytes(), 0
    local cpu, began = server:cpu_seconds(), process.now()
    local child = process.spawn { "taskset", "-c", tostring(load.cpu), sink, server.port, load.path, tostring(load.connections), tostring(seconds),
        load.neighbour, stdout = output, stderr = output }
    repeat
        most = math.max(most, server:private_bytes())
        if process.now() - began > seconds + 30 then
            child:kill()
            error(("the load on %s did not end"):format(server.name), 0)
        end
    until process.readable(child.pidfd, 0.05)
    cpu, began = server:cpu_seconds() - cpu, process.now() - began
    local load_cpu = servers.cpu_seconds(child.pid)
    child:wait(1)
    local text = process.read_file(output)
    os.remove(output)
    local answers, bytes, us, errors, p50, p99, max =
        text:match("sink answers=(%d+) bytes=(%d+) us=(%d+) errors=(%d+) neighbour=%d+ p50=(%d+) p99=(%d+) max=(%d+)")
    if not answers or tonumber(bytes) == 0 then error(("no answers from %s:\n%s"):format(server.name, text), 0) end
    local mib = bytes / 1048576
    return {
        rate = answers / (us / 1e6), mib = mib / (us / 1e6), cpu_us_mib = cpu * 1e6 / mib, p50_us = tonumber(p50), p99_us = tonumber(p99),
        max_us = tonumber(max), grown = most - private, errors = tonumber(errors), server_share = cpu / began, load_share = load_cpu / began,
    }
end

--- Holds `count` idle connections, each with one answered request, while `look` is called; returns what it returns. `path`: each is a tunnel.
function M.with_idle(server, count, look, path)
    local input = unistd.pipe and { unistd.pipe() }
    local output = os.tmpname()
    local fd = ("/proc/%d/fd/%d"):format(unistd.getpid(), input[1])
    local idle = process.spawn { servers.compile("idle"), server.port, tostring(count), path, stdin = fd, stdout = output, stderr = output }
    local limit = process.now() + 60
    repeat
        idle:wait(0.01)
        local text = process.read_file(output)
        if not idle:is_running() or process.now() > limit then error("idle connections: " .. text, 0) end
    until text:find("ready", 1, true)
    local result = look()
    unistd.close(input[1])
    unistd.close(input[2])
    idle:wait(10)
    os.remove(output)
    return result
end

return M
