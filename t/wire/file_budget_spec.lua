--- Memory for files: one budget for all workers, what is told of it, and that what is in memory costs no call to the file system.
local json = require "cjson"
local process = require "t.support.process"
local server = require "t.support.server"

local BYTES, COUNT = 200000, 24 -- 4.8 MB of files, of which half may be kept

local function files_of(s)
    local code, text = server.run { "status", "--json", "--name", s.name }
    assert.equal(0, code, text)
    local list = {}
    for at, worker in ipairs(json.decode(text).workers) do list[at] = worker.files end
    return list
end

--- Asks again and again, at most five seconds, until `fn` of the workers' numbers is true; what they were last.
local function wait_files(s, fn)
    local limit, list = process.now() + 5, nil
    repeat list = files_of(s) until fn(list) or process.now() > limit
    return list
end

local function start(workers, limits)
    local files = {}
    for at = 1, COUNT do files[("public/%d.bin"):format(at)] = ("%07d\n"):format(at):rep(BYTES / 8) end
    files["public/page.css"] = ("p { color: red }\n"):rep(200)
    local s = server.start {
        files = files, workers = workers,
        script = ([[
            local mg = require "moongate"
            local app = mg.app()
            app:files("/*", "public")
            app:get("/worker", function() return tostring(mg.worker()) end)
            return { app = app, limits = { %s } }]]):format(limits),
    }
    os.execute(("find %s/public -type f -exec touch -d '2020-01-01' {} +"):format(s.folder))
    return s
end

--- A connection to each of two workers.
local function one_each(s)
    local found, count = {}, 0
    for _ = 1, 200 do
        local c = s:connect()
        local number = tonumber(c:get("/worker").body)
        if not found[number] then
            found[number] = c
            count = count + 1
        end
        if count == 2 then return found[1], found[2] end
    end
    error("200 connections went to one worker")
end

local function take_all(c)
    for at = 1, COUNT do assert.equal(BYTES, #c:get(("/%d.bin"):format(at)).body) end
end

describe("the memory for files", function()
    after_each(server.sweep)

    it("is one worker's as long as no other needs it, and then each comes to its part", function()
        local s = start(2, 'cache = "2400k"')
        local budget = 2400 * 1024
        local first, second = one_each(s)
        take_all(first)
        local list = files_of(s)
        assert.is_true(list[1].bytes > 0.9 * budget and list[1].bytes <= budget and list[2].bytes == 0, json.encode(list))
        take_all(second)
        list = wait_files(s, function(now) return now[1].bytes + now[2].bytes <= budget end)
        assert.is_true(list[1].bytes + list[2].bytes <= budget, json.encode(list))
        local limit = process.now() + 5
        repeat
            take_all(second)
            take_all(first)
            list = files_of(s)
        until (list[2].bytes > 0.4 * budget and list[1].bytes + list[2].bytes <= budget) or process.now() > limit
        assert.is_true(list[2].bytes > 0.4 * budget and list[1].bytes > 0.4 * budget and list[1].bytes + list[2].bytes <= budget, json.encode(list))
        assert.is_true(list[1].evicted > 0 and list[1].loads > COUNT)
        s:stop()
    end)

    it("is told of, and follows the setting", function()
        local s = start(1, 'cache = "16m"')
        take_all(s:connect())
        take_all(s:connect())
        local now = files_of(s)[1]
        assert.same({ COUNT, 0, COUNT, COUNT, 16777216, 0, json.null },
            { now.entries, now.failed, now.hits, now.loads, now.budget, now.evicted, now.by_age_why })
        assert.is_true(now.bytes > COUNT * BYTES and now.bytes < COUNT * (BYTES + 2000))
        local _, text = server.run { "status", "--name", s.name }
        assert.is_truthy(text:find("\n1 +24 +4%.6/   16%.0 +24 +24 +0 +0 +%d+\n"), text)
        process.write_file(s.file, (process.read_file(s.file):gsub('"16m"', '"1m"')))
        assert.equal(0, (server.run { "reload", "--name", s.name }))
        now = wait_files(s, function(list) return list[1].bytes <= 1048576 end)[1]
        assert.is_true(now.bytes <= 1048576 and now.evicted >= COUNT - 5, json.encode(now))
        s:stop()
    end)
end)

describe("what is in memory", function()
    after_each(server.sweep)

    --- The calls of a worker while `fn` runs, how often each; nil: strace may not look. What is read of events is none: others may cause them.
    local function calls_of(s, fn)
        local folder = process.folder() -- not the site's: what is written there would be told to the worker
        local out, said = folder .. "/calls", folder .. "/said"
        local tracer = process.spawn { "strace", "-f", "-o", out, "-p", tostring(s:workers()[1]), stdout = said, stderr = said }
        local limit = process.now() + 5
        repeat
            if not tracer:is_running() then return nil end
            local f = io.open(said)
            local text = f and f:read("*a") or ""
            if f then f:close() end
        until text:find("attached") or process.now() > limit
        fn()
        tracer:signal(require "posix.signal".SIGINT)
        tracer:wait(10)
        local calls, _, descriptors = {}, process.run({ "ls", "-l", ("/proc/%d/fd"):format(s:workers()[1]) }, 10)
        local events = descriptors:match("(%d+) %-> anon_inode:inotify")
        for line in process.read_file(out):gmatch("[^\n]+") do
            local name, fd = line:match("^%d+ +([%w_]+)%((%d*)")
            if name and not (name == "read" and fd == events) then calls[name] = (calls[name] or 0) + 1 end
        end
        process.remove_folder(folder)
        return calls
    end

    it("is sent without a call to the file system", function()
        if process.run({ "strace", "-V" }, 10) ~= 0 then return pending("strace is not installed") end
        local s = start(1, 'cache = "16m"')
        local c = s:connect()
        local tag = c:get("/1.bin"):get("etag")
        local asked = {
            function() return c:get("/1.bin") end,
            function() return c:get("/1.bin", { ["If-None-Match"] = tag }) end,
            function() return c:get("/1.bin", { Range = "bytes=100-199" }) end,
            function() return c:get("/1.bin", { Range = "bytes=1-2,1000-2000" }) end,
            function() return c:head("/2.bin") end,
            function() return c:get("/page.css", { ["Accept-Encoding"] = "gzip, br, zstd" }) end,
            function() return c:get("/none.txt") end,
        }
        local function round()
            local statuses = {}
            for at, ask in ipairs(asked) do statuses[at] = ask().status end
            assert.same({ 200, 304, 206, 206, 200, 200, 404 }, statuses)
        end
        round()
        local before = files_of(s)[1]
        local calls = calls_of(s, function() for _ = 1, 20 do round() end end)
        if not calls then return pending("strace may not look at processes here") end
        assert.is_true((calls.io_uring_enter or calls.epoll_wait or 0) > 100)
        for _, name in ipairs { "open", "openat", "openat2", "stat", "lstat", "fstat", "newfstatat", "statx", "access", "readlink", "readlinkat",
            "read", "pread64", "preadv", "preadv2", "readv", "sendfile", "getdents64", "close", "mmap" } do
            assert.is_nil(calls[name], name)
        end
        local now = files_of(s)[1]
        assert.equal(before.loads, now.loads) -- nor by the ring, which strace does not see
        assert.is_true(now.hits - before.hits >= 140)
        s:stop()
    end)
end)
