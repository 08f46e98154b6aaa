--- Instances of the processes over a stand-in for Lua (t/support/fake_vm.c), which is told by its "config" what to do: see there.
--- Each spec has a runtime folder of its own, so that names never meet.
---
---     local instance = require "t.support.instance"
---     before_each(instance.begin); after_each(instance.sweep)
---     local s = instance.start("workers 2\nfake hang-on-drain")     -- a server of t/support/server.lua
---     local code, out, err = instance.run { "status" }
local process = require "t.support.process"
local server = require "t.support.server"
local wire = require "t.support.wire"

local M = {}
local real = server.binary
local build = real:match("^(.*)/[^/]+$")
local runtime, spawned

local function first_that_exists(paths)
    for _, path in ipairs(paths) do
        local file = io.open(path)
        if file then
            file:close()
            return path
        end
    end
    return paths[1]
end

M.fake = first_that_exists { build .. "/moongate-fake", build .. "/src/proc/moongate-fake" }
M.real = first_that_exists { real, build .. "/src/proc/moongate" }

--- For `before_each`: a fresh runtime folder, and the stand-in as the program.
function M.begin()
    server.binary = M.fake
    runtime = server.folder()
    spawned = {}
end

--- For `after_each`: nothing that a spec started is left.
function M.sweep()
    for _, child in ipairs(spawned) do
        if child:is_running() then child:kill() end
    end
    server.sweep()
    server.binary = real
end

--- The runtime folder of this spec.
function M.runtime() return runtime end

local function with_runtime(env)
    local all = { MOONGATE_RUNTIME_DIR = runtime }
    for name, value in pairs(env or {}) do all[name] = value end
    return all
end

--- A config file of these lines.
function M.config(lines, name)
    local folder = server.folder { [name or "site.lua"] = lines .. "\n" }
    return folder .. "/" .. (name or "site.lua")
end

--- Runs a command to its end, within a limit.
---@return integer? code
---@return string stdout
---@return string stderr
function M.run(arguments, seconds, env) return server.run(arguments, seconds, with_runtime(env)) end

--- Starts an instance and waits for its ready line. Options as for server.start; by default one worker on a free port.
function M.start(lines, options)
    options = options or {}
    options.env = with_runtime(options.env)
    options.file = options.file or M.config(lines)
    if options.listen == nil then options.listen = lines:find("listen ", 1, true) and {} or { "127.0.0.1:0" } end
    if options.workers == nil then options.workers = not lines:find("workers ", 1, true) and 1 end
    return server.start(options)
end

--- Starts the program with these words and does not wait. `process` with stderr_path.
function M.spawn(words, options)
    local path = process.write_file(server.folder() .. "/stderr", "")
    local command = { server.binary, unpack(words) }
    command.env, command.stderr, command.stdout = with_runtime(options and options.env), path, "/dev/null"
    local child = process.spawn(command)
    child.stderr_path = path
    spawned[#spawned + 1] = child
    return child
end

--- Waits until a file holds a match of the pattern; the match. Raises after the limit.
function M.wait_file(path, pattern, seconds)
    local limit = process.now() + (seconds or 5)
    repeat
        local file = io.open(path)
        local text = file and file:read("*a") or ""
        if file then file:close() end
        local from, to = text:find(pattern)
        if from then return text:sub(from, to) end
        require("socket").select(nil, nil, 0.002)
    until process.now() > limit
    error(("no %q in %s in time"):format(pattern, path), 2)
end

--- Waits until the function returns something true; that.
function M.wait_until(what, seconds)
    local limit = process.now() + (seconds or 5)
    repeat
        local value = what()
        if value then return value end
        require("socket").select(nil, nil, 0.002)
    until process.now() > limit
    error("it did not become true in time", 2)
end

--- An instance whose config can be written anew: `s, write`.
function M.editable(lines, options)
    options = options or {}
    options.file = M.config(lines)
    local s = M.start(lines, options)
    return s, function(text) process.write_file(s.file, text .. "\n") end
end

--- Asks it to reload: exit code, output, errors.
function M.reload(s, seconds) return M.run({ "reload", "--name", s.name }, seconds or 10) end

--- The status of an instance, decoded.
function M.status(name)
    local code, out, err = M.run { "status", "--json", "--name", name }
    assert(code == 0, err)
    return require "cjson".decode(out)
end

--- One line to the control socket and all that comes back.
function M.control(name, line)
    local client = wire.connect("unix:" .. runtime .. "/" .. name .. ".sock")
    client:send(line)
    return client:read_to_end()
end

return M
