--- The workloads, one row each. A row is run with { rounds, seconds, only, cpu, load_cpu, idle } and returns tables of results.
local servers = require "bench.lib.servers"
local load = require "bench.lib.load"
local machine = require "bench.lib.machine"
local process = require "t.support.process"

local M = {}

local function median(values)
    table.sort(values)
    local middle = math.floor((#values + 1) / 2)
    if #values % 2 == 1 then return values[middle] end
    return (values[middle] + values[middle + 1]) / 2
end

--- The median of each measure over the rounds.
local function summary(rounds)
    local result = {}
    for key in pairs(rounds[1]) do
        local values = {}
        for at, round in ipairs(rounds) do values[at] = round[key] end
        result[key] = median(values)
    end
    return result
end

local function stop_all(entries)
    for _, entry in ipairs(entries) do
        if entry.server then entry.server:stop() end
    end
end

--- Measures entries { label, server, load } in interleaved rounds: what disturbs the machine disturbs all of them.
local function measure(entries, options)
    for _, entry in ipairs(entries) do load.run(entry.server, entry.load, 1) end -- warm: caches, traces
    local rounds = {}
    for round = 1, options.rounds do
        for at, entry in ipairs(entries) do
            rounds[at] = rounds[at] or {}
            rounds[at][round] = load.run(entry.server, entry.load, options.seconds)
        end
    end
    local results = {}
    for at, entry in ipairs(entries) do
        results[at] = summary(rounds[at])
        results[at].label = entry.label
    end
    return results
end

local function is_wanted(options, name) return not options.only or options.only[name] end

--- Starts every wanted server that has the app, and says which are left out. Calls `run` with them and stops them, whatever happens.
local function with_servers(app, words, options, run)
    local entries, notes = {}, {}
    words.app, words.cpu = app, options.cpu
    local ok, result = xpcall(function()
        for _, name in ipairs(servers.NAMES) do
            local can, why = servers.can_run(name, app)
            if is_wanted(options, name) and can then
                entries[#entries + 1] = { label = name, server = servers.start(name, words) }
            elseif is_wanted(options, name) and why ~= "has no such app" then
                notes[#notes + 1] = ("%s left out: %s"):format(name, why)
            end
        end
        return run(entries)
    end, debug.traceback)
    stop_all(entries)
    if not ok then error(result, 0) end
    return result, notes
end

local function set_load(entries, options, connections, depth, paths)
    for _, entry in ipairs(entries) do
        entry.load = { cpu = options.load_cpu, connections = connections, depth = depth, paths = paths }
    end
end

--- The same request over and over, on all servers that have the app.
local function same_request(title, app, path, body, connections, depth)
    return function(options)
        local results, notes = with_servers(app, {}, options, function(entries)
            for _, entry in ipairs(entries) do
                if entry.label ~= "floor" then load.check(entry.server, path, body) end
            end
            set_load(entries, options, connections, depth, { path })
            return measure(entries, options)
        end)
        return { { title = title, results = results, notes = notes, base = "floor" } }
    end
end

local function many_routes(options)
    local entries = {}
    local ok, results = xpcall(function()
        for _, count in ipairs { 1, 1000, 10000 } do
            local paths = {}
            for at = 1, 16 do
                local number = math.max(1, math.floor(at * count / 16))
                paths[at] = ("/section%d/page%d/%d"):format(number % 100, number, at)
            end
            local one = servers.start("moongate", { app = "routes", routes = count, cpu = options.cpu })
            entries[#entries + 1] = { label = count == 1 and "1 route" or ("%d routes"):format(count), server = one }
            load.check(one, paths[1], "1")
            entries[#entries].load = { cpu = options.load_cpu, connections = 64, depth = 16, paths = paths }
        end
        return measure(entries, options)
    end, debug.traceback)
    stop_all(entries)
    if not ok then error(results, 0) end
    return { { title = "many routes, 16 pipelined over all of them", results = results, base = "1 route" } }
end

local function idle_memory(options)
    local lines = {}
    for _, name in ipairs { "floor", "moongate", "nginx" } do
        if is_wanted(options, name) and servers.can_run(name, "hello") then
            local server = servers.start(name, { app = "hello" })
            local ok, message = pcall(function()
                load.with_idle(server, 100, function() end) -- what the first connections cost once is not per connection
                local before = server:private_bytes()
                local after = load.with_idle(server, options.idle, function() return server:private_bytes() end)
                lines[#lines + 1] = { name, (after - before) / options.idle }
            end)
            server:stop()
            if not ok then error(message, 0) end
        end
    end
    return { { title = ("private memory of an idle keep-alive connection, %d of them (user space only)"):format(options.idle), bytes = lines } }
end

--- One worker and two, neither pinned, under the same load.
local function one_and_two(options, app, words)
    local all = table.concat(machine.cores(), ",")
    local entries = {}
    local ok, results = xpcall(function()
        for workers = 1, 2 do
            local one = servers.start("moongate", { app = app, workers = workers })
            entries[workers] = { label = workers == 1 and "1 worker" or "2 workers", server = one,
                load = { cpu = all, connections = words.connections, depth = words.depth, paths = { "/" }, threads = words.threads } }
        end
        return measure(entries, options)
    end, debug.traceback)
    stop_all(entries)
    if not ok then error(results, 0) end
    return results
end

--- With a constant the load generator needs as much of the machine as the workers do; with a handler that computes, next to nothing, and the
--- cores are as free as two can be.
local function two_workers(options)
    local cores = machine.cores()
    local notes = {}
    if #cores < 4 then notes[1] = ("%d cores are shared with the load generator: two workers cannot have a core each"):format(#cores) end
    local constant = one_and_two(options, "hello", { connections = 128, depth = 16, threads = math.min(2, #cores) })
    local work = one_and_two(options, "work", { connections = 64, depth = 1, threads = 1 })
    return {
        { title = "1 and 2 workers, a constant, 16 pipelined, not pinned", results = constant, base = "1 worker", notes = notes, rates = true },
        { title = "1 and 2 workers, a handler that computes for a millisecond, not pinned", results = work, base = "1 worker", rates = true },
    }
end

local function reloaded(options)
    local names, notes = {}, { "errors: a connection ended after a request was sent and before its answer was whole" }
    for _, name in ipairs { "moongate", "nginx" } do
        if is_wanted(options, name) then names[#names + 1] = name end
    end
    return { { title = "reloads under full load, 2 workers, 64 keep-alive clients, not pinned", notes = notes,
        lines = require("bench.lib.reloads").lines(names, options.reloads) } }
end

local function proxied(options)
    local tables = {}
    for _, connections in ipairs { 64, 256 } do
        local origin = servers.start("floor", { app = "hello", cpu = options.load_cpu })
        local ok, results, notes = pcall(with_servers, "proxy", { upstream = "127.0.0.1:" .. origin.port }, options, function(entries)
            set_load(entries, options, connections, 1, { "/api/thing" })
            return measure(entries, options)
        end)
        origin:stop()
        if not ok then error(results, 0) end
        tables[#tables + 1] = { title = ("proxied, %d connections; the origin is a floor on the load's core"):format(connections),
            results = results, notes = notes, base = "floor" }
    end
    return tables
end

--- What filters around a proxied route cost: one that sets a field, one that looks at the response first, one that its content passes through.
local function filtered(options)
    local origin = servers.start("floor", { app = "hello", cpu = options.load_cpu })
    local entries = {}
    local ok, results = xpcall(function()
        for at, kind in ipairs { { "no filter", "/api/thing" }, { "sets", "/set/thing" }, { "looks", "/look/thing" }, { "maps", "/map/thing" } } do
            local one = servers.start("moongate", { app = "proxy", upstream = "127.0.0.1:" .. origin.port, cpu = options.cpu })
            entries[at] = { label = kind[1], server = one, load = { cpu = options.load_cpu, connections = 64, depth = 1, paths = { kind[2] } } }
        end
        return measure(entries, options)
    end, debug.traceback)
    stop_all(entries)
    origin:stop()
    if not ok then error(results, 0) end
    return { { title = "proxied with a filter, 64 connections", results = results, base = "no filter" } }
end

--- Bodies of 1 MB through the gateway.
local function proxied_large(options)
    local bytes = 1048576
    local origin = servers.start("floor", { app = "files", body_bytes = bytes, cpu = options.load_cpu })
    local ok, results, notes = pcall(with_servers, "proxy", { upstream = "127.0.0.1:" .. origin.port }, options, function(entries)
        set_load(entries, options, 16, 1, { "/api/thing" })
        return measure(entries, options)
    end)
    origin:stop()
    if not ok then error(results, 0) end
    return { { title = "proxied bodies of 1 MB, 16 connections; the origin is a floor on the load's core", results = results, notes = notes, base = "floor" } }
end

--- Tunnels on which nobody says anything: a client's connection and an upstream's each.
local function tunnel_memory(options)
    local origin = servers.start("floor", { app = "tunnels" })
    local lines = {}
    local ok, message = pcall(function()
        local one = servers.start("moongate", { app = "proxy", upstream = "127.0.0.1:" .. origin.port })
        local measured, why = pcall(function()
            load.with_idle(one, 100, function() end, "/api/ws")
            local before = one:private_bytes()
            lines[1] = { "moongate", (load.with_idle(one, 1000, function() return one:private_bytes() end, "/api/ws") - before) / 1000 }
        end)
        one:stop()
        if not measured then error(why, 0) end
    end)
    origin:stop()
    if not ok then error(message, 0) end
    return { { title = "private memory of an idle WebSocket tunnel, 1000 of them (user space only)", bytes = lines } }
end

--- Files of so many bytes: one, or `count` of them; `fields` go with the requests. Old enough that no server waits for their next change.
local function files(bytes, title, fields, count)
    return function(options)
        local folder = process.folder()
        for at = 1, count or 1 do
            process.write_file(("%s/%s.bin"):format(folder, count and at or "data"), ("0123456789abcdef"):rep(bytes / 16))
        end
        assert(os.execute(("chmod 755 %s && find %s -type f -exec touch -d 2020-01-01 {} +"):format(folder, folder)) == 0)
        local only = fields and { floor = false } or {}
        local ok, results, notes = pcall(with_servers, "files", { files = folder, body_bytes = bytes }, options, function(entries)
            for at = #entries, 1, -1 do
                if only[entries[at].label] == false then table.remove(entries, at).server:stop() end
            end
            set_load(entries, options, 64, 1, { (count and ("#%d /files/%%d.bin"):format(count) or "/files/data.bin") .. (fields or "") })
            return measure(entries, options)
        end)
        process.remove_folder(folder)
        if not ok then error(results, 0) end
        return { { title = title, results = results, notes = notes, base = fields and "nginx" or "floor" } }
    end
end

local function take_line(label, one, base)
    local ratio = ("%.2f"):format(one.cpu_us_mib / base.cpu_us_mib)
    return ("%-12s %8.0f %14.1f %12s %11.0f %9.0f %9.0f %12.1f %9.0f %7.0f%s"):format(label, one.mib, one.cpu_us_mib, ratio, one.p50_us,
        one.p99_us, one.max_us, one.grown / 1048576, one.server_share * 100, one.load_share * 100,
        one.errors > 0 and ("  %d ERRORS"):format(one.errors) or "")
end

--- A file of so many bytes, taken by so many clients that do not look at it, and a neighbour that asks for 2 KiB all the time.
local function taken(bytes, connections, title)
    return function(options)
        local folder = process.folder()
        assert(os.execute(("head -c %d /dev/urandom > %s/data.bin && head -c 2048 /dev/urandom > %s/small.bin && chmod -R a+rX %s && "
            .. "find %s -type f -exec touch -d 2020-01-01 {} +"):format(bytes, folder, folder, folder, folder)) == 0)
        local only = {} -- the floor sends from its memory
        for _, name in ipairs(servers.NAMES) do only[name] = name ~= "floor" and is_wanted(options, name) or nil end
        local own = setmetatable({ only = only }, { __index = options })
        local ok, lines, notes = pcall(with_servers, "files", { files = folder, body_bytes = bytes }, own, function(entries)
            local measured = {}
            local words = { cpu = options.load_cpu, path = "/files/data.bin", connections = connections, neighbour = "/files/small.bin" }
            for round = 0, options.rounds do -- the first is to warm up
                for at, entry in ipairs(entries) do
                    measured[at] = measured[at] or {}
                    measured[at][math.max(round, 1)] = load.take(entry.server, words, options.seconds)
                end
            end
            local base
            for at, entry in ipairs(entries) do
                measured[at] = summary(measured[at])
                if entry.label == "nginx" then base = measured[at] end
            end
            local result = { "                MiB/s    CPU µs/MiB      × nginx   small p50       p99   longest   memory +MiB  server %  load %" }
            for at, entry in ipairs(entries) do result[#result + 1] = take_line(entry.label, measured[at], base or measured[1]) end
            return result
        end)
        process.remove_folder(folder)
        if not ok then error(lines, 0) end
        return { { title = title, lines = lines, notes = notes } }
    end
end

-- Name, whether it belongs to the usual run, what it needs, the row.
M.ROWS = {
    { "constant", true, same_request("a constant from a handler, depth 1, 64 connections", "hello", "/", "Hello, World!", 64, 1) },
    { "pipelined", true, same_request("a constant from a handler, 16 pipelined, 64 connections", "hello", "/", "Hello, World!", 64, 16) },
    { "captures", true, same_request("two captures and a string built of them, 16 pipelined, 64 connections", "captures",
        "/users/42/orders/7", "user 42 order 7", 64, 16) },
    { "routes", true, many_routes, moongate = true },
    { "idle", true, idle_memory },
    { "reload", true, reloaded },
    { "workers", true, two_workers, moongate = true },
    { "proxy", false, proxied },
    { "proxy-filter", false, filtered, moongate = true },
    { "proxy-1m", false, proxied_large },
    { "tunnels", false, tunnel_memory },
    { "file-4k", true, files(4096, "a file of 4 KiB, 64 connections; the floor sends the same bytes from memory") },
    { "file-1m", true, files(1048576, "a file of 1 MiB, 64 connections; the floor sends the same bytes from memory") },
    { "file-1m-taken", true, taken(1048576, 64, "a file of 1 MiB, 64 clients that drop what they get; a neighbour asks for 2 KiB (µs)") },
    { "file-1g", true, taken(1073741824, 100, "a file of 1 GiB, 100 clients that drop what they get; a neighbour asks for 2 KiB (µs)") },
    { "file-many", false, files(2048, "10,000 files of 2 KiB, 64 connections; the floor sends as many bytes from memory", nil, 10000) },
    { "file-304", false, files(4096, "a file that the client has already (If-Modified-Since), 64 connections",
        "|If-Modified-Since: Wed, 01 Jan 2025 00:00:00 GMT") },
    { "file-range", false, files(1048576, "4 KiB out of a file of 1 MiB, 64 connections", "|Range: bytes=500000-504095") },
}

return M
