--- The test runner: every spec file in a process of its own, several at a time, each with a limit, all results summed.
---     luajit t/run.lua [--suite unit|wire|all] [--jobs N] [--seconds N] [--totals FILE] [SPEC-OR-FOLDER…]
--- A file that crashes, hangs or leaves a process behind counts as failed, with its output. Exit code 1 when anything failed.
--- `--totals` appends "passed failed" to a file, for whoever sums several runs.
package.path = "./?.lua;" .. package.path
local ffi = require "ffi"
local json = require "cjson"
local lfs = require "lfs"
local signal = require "posix.signal"
local unistd = require "posix.unistd"
local wait = require "posix.sys.wait"
local process = require "t.support.process"

ffi.cdef "int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d);"
local PR_SET_CHILD_SUBREAPER = 36 -- what a spec leaves behind comes to us, and can be reaped

-- Folders whose specs need the whole program; everything else tests a room alone.
local WIRE = { wire = true, trace = true, regress = true, proc = true, conf = true }
-- Not specs: helpers and data.
local SKIPPED = { support = true, cases = true, fuzz = true, tmp = true }

local function usage()
    io.stderr:write("usage: luajit t/run.lua [--suite unit|wire|all] [--jobs N] [--seconds N] [--totals FILE] [PATH…]\n")
    os.exit(2)
end

local function read_arguments(words)
    local options = { suite = "all", jobs = 2, seconds = 120, paths = {} }
    if (os.getenv("MG_BUILD") or ""):match("asan") then options.seconds = 600 end
    local at = 1
    while words[at] do
        local name = words[at]:match("^%-%-(%a+)$")
        if name == "suite" or name == "totals" then
            options[name] = words[at + 1] or usage()
        elseif name == "jobs" or name == "seconds" then
            options[name] = tonumber(words[at + 1]) or usage()
        elseif words[at]:sub(1, 1) == "-" then
            usage()
        else
            options.paths[#options.paths + 1] = words[at]
        end
        at = at + (name and 2 or 1)
    end
    if not (options.suite == "all" or options.suite == "unit" or options.suite == "wire") then usage() end
    return options
end

local function find_specs(path, found)
    local kind = lfs.attributes(path, "mode")
    if kind == "file" then
        found[#found + 1] = path
    elseif kind == "directory" then
        for name in lfs.dir(path) do
            local is_wanted = name:match("_spec%.lua$") or not name:find(".", 1, true) and not SKIPPED[name]
            if is_wanted then find_specs(path .. "/" .. name, found) end
        end
    else
        io.stderr:write(path, ": no such file or folder\n")
        os.exit(2)
    end
    return found
end

local function choose(options)
    local files = {}
    for _, path in ipairs(#options.paths > 0 and options.paths or { "t" }) do find_specs(path, files) end
    table.sort(files)
    local chosen = {}
    for _, file in ipairs(files) do
        local suite = WIRE[file:match("^t/([^/]+)/")] and "wire" or "unit"
        if options.suite == "all" or options.suite == suite then chosen[#chosen + 1] = file end
    end
    return chosen
end

local function start(file, seconds)
    local run = { file = file, report = os.tmpname(), output = os.tmpname(), began = process.now() }
    run.process = process.spawn {
        "luajit", "t/support/spec.lua", "--output", "t/support/report.lua", file,
        env = { MG_REPORT = run.report }, stdout = run.output, stderr = run.output, group = true,
    }
    run.limit = run.began + seconds
    return run
end

--- Waits until what the file started is gone; what is left after two seconds is killed. Returns whether something was left.
local function sweep_group(run)
    local limit = process.now() + 2
    while true do
        while (wait.wait(-run.process.pid, wait.WNOHANG) or 0) > 0 do end
        if not run.process:group_lives() then return false end
        if process.now() > limit then break end
        require "posix.poll".poll({}, 5)
    end
    signal.kill(-run.process.pid, signal.SIGKILL)
    return true
end

local function read_report(run)
    local results = { passed = 0, pending = {}, failures = {} }
    local current, finished
    for line in io.lines(run.report) do
        local event = json.decode(line)
        if event.kind == "begin" then
            current = event.name
        elseif event.kind == "end" then
            finished = true
        else
            current = nil
            if event.kind == "success" then results.passed = results.passed + 1
            elseif event.kind == "pending" then table.insert(results.pending, event.name)
            else table.insert(results.failures, event) end
        end
    end
    results.finished, results.current = finished, current
    return results
end

--- How a file ended, as a failure of its own; nil when it ended as it should.
local function judge_end(run, results, left)
    if run.is_late then return ("took longer than %d s and was killed"):format(run.limit - run.began) end
    if run.how == "killed" then return ("was killed by signal %d"):format(run.code) end
    if not results.finished then return ("ended early with exit code %d"):format(run.code) end
    if left then return "left processes running" end
    if run.code ~= 0 and #results.failures == 0 then return ("ended with exit code %d"):format(run.code) end
    if results.passed + #results.failures + #results.pending == 0 then return "holds no test" end
end

local function indent(text) return "      " .. text:gsub("%s+$", ""):gsub("\n", "\n      ") end

local function show(run, results, fault)
    local failed = #results.failures
    print(("%-4s %-44s %4d passed%s %6.1f s"):format(failed == 0 and "ok" or "FAIL", run.file, results.passed,
        failed > 0 and (", %d failed"):format(failed) or "", process.now() - run.began))
    for _, name in ipairs(results.pending) do print("    pending: " .. name) end
    for _, failure in ipairs(results.failures) do
        print(("    %s\n      at %s\n%s"):format(failure.name, failure.where or run.file, indent(failure.message)))
    end
    if fault then print("    its output:\n" .. indent(process.read_file(run.output):sub(-6000))) end
    io.stdout:flush()
end

local function finish(run, totals)
    local left = sweep_group(run)
    local results = read_report(run)
    local fault = judge_end(run, results, left)
    if fault then
        table.insert(results.failures, { name = run.file, message = fault .. (results.current and ", in: " .. results.current or "") })
    end
    show(run, results, fault)
    totals.passed = totals.passed + results.passed
    totals.failed = totals.failed + #results.failures
    totals.pending = totals.pending + #results.pending
    os.remove(run.report)
    os.remove(run.output)
end

--- Whether a run has ended, by itself or by its limit.
local function is_over(run)
    run.how, run.code = run.process:wait(0.01)
    if run.how then return true end
    run.is_late = process.now() > run.limit
    if run.is_late then run.process:kill() end
    return run.is_late
end

local function run_all(files, options)
    local totals, running, next_file = { passed = 0, failed = 0, pending = 0 }, {}, 1
    local function stop()
        for _, run in ipairs(running) do signal.kill(-run.process.pid, signal.SIGKILL) end
        unistd._exit(130)
    end
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    while files[next_file] or #running > 0 do
        while #running < options.jobs and files[next_file] do
            running[#running + 1] = start(files[next_file], options.seconds)
            next_file = next_file + 1
        end
        for at = #running, 1, -1 do
            if is_over(running[at]) then finish(table.remove(running, at), totals) end
        end
    end
    return totals
end

local function main()
    local options = read_arguments(arg)
    ffi.C.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    local files = choose(options)
    if #files == 0 then
        io.stderr:write("no spec found\n")
        os.exit(1)
    end
    local totals = run_all(files, options)
    if options.totals then
        local out = assert(io.open(options.totals, "a"))
        out:write(("%d %d\n"):format(totals.passed, totals.failed))
        out:close()
    end
    if totals.pending > 0 then print(("%d pending"):format(totals.pending)) end
    print(("%d passed, %d failed"):format(totals.passed, totals.failed))
    os.exit(totals.failed == 0 and 0 or 1)
end

main()
