--- `--watch` and `reload = "watch"`: src/proc/watch.c, as seen from outside: which changes of files are reasons to reload, and which not.
local instance = require "t.support.instance"
local process = require "t.support.process"
local server = require "t.support.server"
local unistd = require "posix.unistd"

local function plain(text) return (text:gsub("%p", "%%%0")) end

local function write(path, text) return process.write_file(path, text .. "\n") end

--- Puts a file in the place of another, as editors and deployments do.
local function put(path, text) assert(os.rename(write(path .. ".new", text), path)) end

local function start(file, options)
    options = options or {}
    options.file = file
    options.args = options.args or { "--watch" }
    return instance.start("", options)
end

--- Waits until the instance serves this.
local function serves(s, text, seconds)
    instance.wait_until(function() return s:get("/say").body == text end, seconds)
end

--- How many folders the kernel watches for a process.
local function folders_watched(pid)
    local _, count = io.popen(("cat /proc/%d/fdinfo/*"):format(pid)):read("*a"):gsub("inotify wd:", "")
    return count
end

--- How many reloads, good and bad, have been told in the log.
local function reloads(s)
    instance.wait_until(function() return instance.status(s.name).reload.state == "idle" end)
    local _, count = s:log():gsub("reload %(a file has changed%)", "")
    return count
end

--- Waits until a change that matters has been answered: what was not a reason before it is none any more.
local function settle(s, path)
    local before = reloads(s)
    put(path, "fake say settled " .. before)
    serves(s, "settled " .. before)
    return reloads(s) - before
end

describe("a watched file", function()
    before_each(instance.begin)
    after_each(instance.sweep)

    it("is reloaded when it is written, replaced, removed and made again, or touched", function()
        local path = server.folder { ["site.lua"] = "fake say one\n" } .. "/site.lua"
        local s = start(path)
        write(path, "fake say two")
        serves(s, "two")
        s:wait_log("info reload %(a file has changed%): generation 2 in 1 worker, no route changed, %d+ ms\n")
        put(path, "fake say three")
        serves(s, "three")
        os.remove(path)
        write(path, "fake say four")
        serves(s, "four")
        local before = reloads(s)
        assert(os.execute("touch " .. path))
        instance.wait_until(function() return reloads(s) == before + 1 end)
        s:stop()
    end)

    it("is watched when the config says so, and no more when it does not", function()
        local path = server.folder { ["site.lua"] = "reload watch\nfake say one\n" } .. "/site.lua"
        local s = start(path, { args = {} })
        assert.is_true(instance.status(s.name).watches)
        write(path, "fake say two")
        serves(s, "two")
        assert.is_false(instance.status(s.name).watches)
        write(path, "reload watch\nfake say three")
        assert.equal(0, (instance.run { "reload", "--name", s.name }))
        assert.equal("three", s:get("/say").body)
        put(path, "reload manual\nfake say four")
        serves(s, "four")
        s:stop()
    end)

    it("is not watched unless asked for", function()
        local path = server.folder { ["site.lua"] = "fake say one\n" } .. "/site.lua"
        local s = start(path, { args = {} })
        assert.is_false(instance.status(s.name).watches)
        local links = io.popen(("readlink /proc/%d/fd/*"):format(s.pid)):read("*a")
        assert.is_nil(links:find("inotify", 1, true))
        s:stop()
    end)

    it("is a reason once for a burst of changes", function()
        local path = server.folder { ["site.lua"] = "fake say one\n" } .. "/site.lua"
        local s = start(path)
        for i = 1, 50 do put(path, "fake say " .. i) end
        serves(s, "50")
        assert.is_true(reloads(s) <= 2)
        s:stop()
    end)

    it("is reloaded though changes never end", function()
        local path = server.folder { ["site.lua"] = "fake say one\n" } .. "/site.lua"
        local s = start(path)
        local count = 0
        instance.wait_until(function() -- one each 2 ms
            count = count + 1
            put(path, "fake say " .. count)
            return reloads(s) >= 2
        end, 8)
        s:stop()
    end)

    it("is the only one that matters in its folder", function()
        local folder = server.folder { ["site.lua"] = "fake say one\n", ["other.lua"] = "fake say other\n" }
        local s, witness = start(folder .. "/site.lua"), start(folder .. "/other.lua")
        for round = 1, 2 do -- when the witness has reloaded for the second time, ours would have for the first
            write(folder .. "/new.lua", "new")
            os.remove(folder .. "/new.lua")
            assert(os.execute(("mkdir %s/sub && touch %s/sub/site.lua && chmod 700 %s/sub && rm -r %s/sub"):format(folder, folder, folder, folder)))
            put(folder .. "/other.lua", "fake say " .. round)
            serves(witness, tostring(round))
        end
        assert.equal(2, reloads(witness))
        assert.equal(0, reloads(s))
        assert.equal(1, settle(s, folder .. "/site.lua"))
        s:stop()
        witness:stop()
    end)

    it("may be one of several, in several folders", function()
        local folder = server.folder { ["a/site.lua"] = "", ["b/lib.lua"] = "", ["b/other.lua"] = "" }
        local function config(text) return ("file %s/b/lib.lua\nfake say %s"):format(folder, text) end
        write(folder .. "/a/site.lua", config("one"))
        local s = start(folder .. "/a/site.lua")
        write(folder .. "/b/other.lua", "")
        write(folder .. "/b/lib.lua", "")
        instance.wait_until(function() return reloads(s) == 1 end)
        local watched = folders_watched(s.pid)
        put(folder .. "/a/site.lua", "fake say two") -- lib.lua is not a part of it any more
        serves(s, "two")
        assert.equal(watched - 1, folders_watched(s.pid))
        local before, witness = reloads(s), start(folder .. "/b/lib.lua")
        for round = 1, 2 do
            put(folder .. "/b/lib.lua", "fake say " .. round)
            serves(witness, tostring(round))
        end
        assert.equal(before, reloads(s))
        assert.equal(1, settle(s, folder .. "/a/site.lua"))
        s:stop()
        witness:stop()
    end)

    it("may be named by a relative path", function()
        local folder = server.folder { ["site.lua"] = "fake say one\n" }
        local s = start("../" .. folder:match("[^/]+$") .. "/./site.lua", { cwd = folder })
        put(folder .. "/site.lua", "fake say two")
        serves(s, "two")
        s:stop()
    end)
end)

describe("the way to a watched file", function()
    before_each(instance.begin)
    after_each(instance.sweep)

    it("may lead over a symlink that is flipped to another release", function()
        local folder = server.folder { ["releases/1/site.lua"] = "fake say one\n", ["releases/2/site.lua"] = "fake say two\n" }
        assert(unistd.link("releases/1", folder .. "/current", true))
        local s = start(folder .. "/current/site.lua")
        local function flip(to)
            assert(unistd.link("releases/" .. to, folder .. "/next", true))
            assert(os.rename(folder .. "/next", folder .. "/current"))
        end
        flip(2)
        serves(s, "two")
        put(folder .. "/releases/2/site.lua", "fake say two again")
        serves(s, "two again")
        local before = reloads(s)
        put(folder .. "/releases/1/site.lua", "fake say nobody reads this")
        put(folder .. "/releases/2/site.lua", "fake say two for good")
        serves(s, "two for good")
        assert.equal(before + 1, reloads(s))
        flip(1)
        serves(s, "nobody reads this")
        s:stop()
    end)

    it("may be a volume of Kubernetes: links to a folder behind a link that is renamed", function()
        local folder = server.folder { ["..v1/site.lua"] = "fake say one\n", ["..v2/site.lua"] = "fake say two\n" }
        assert(unistd.link("..v1", folder .. "/..data", true))
        assert(unistd.link("..data/site.lua", folder .. "/site.lua", true))
        local s = start(folder .. "/site.lua")
        assert(unistd.link("..v2", folder .. "/..data_tmp", true))
        assert(os.rename(folder .. "/..data_tmp", folder .. "/..data"))
        assert(os.execute(("rm -r %s/..v1"):format(folder)))
        serves(s, "two")
        s:stop()
    end)

    it("may be swapped as a whole folder, or be removed and made again", function()
        local folder = server.folder { ["site/lua/site.lua"] = "fake say one\n", ["next/lua/site.lua"] = "fake say two\n" }
        local s = start(folder .. "/site/lua/site.lua")
        assert(os.rename(folder .. "/site", folder .. "/old"))
        assert(os.rename(folder .. "/next", folder .. "/site"))
        serves(s, "two")
        assert(os.execute(("rm -r %s/site"):format(folder)))
        s:wait_log("error reload %(a file has changed%): nothing has changed")
        assert.equal("two", s:get("/say").body)
        assert(os.execute(("mkdir -p %s/site/lua"):format(folder)))
        write(folder .. "/site/lua/site.lua", "fake say three")
        serves(s, "three")
        put(folder .. "/site/lua/site.lua", "fake say four")
        serves(s, "four")
        s:stop()
    end)

    it("may lead over a link to a file elsewhere, by an absolute path", function()
        local folder = server.folder { ["real/site.lua"] = "fake say one\n", ["linked/x"] = "" }
        assert(unistd.link(folder .. "/real/site.lua", folder .. "/linked/site.lua", true))
        local s = start(folder .. "/linked/site.lua")
        put(folder .. "/real/site.lua", "fake say two")
        serves(s, "two")
        os.remove(folder .. "/linked/site.lua")
        write(folder .. "/linked/site.lua", "fake say three")
        serves(s, "three")
        s:stop()
    end)
end)

describe("a candidate that fails", function()
    before_each(instance.begin)
    after_each(instance.sweep)

    it("is told with all problems in the log, and goes live when its file is mended", function()
        local path = server.folder { ["site.lua"] = "fake say one\n" } .. "/site.lua"
        local s = start(path)
        put(path, "fake plan-problem no such key")
        s:wait_log("error reload: " .. plain(path) .. ":1:1: no such key\n%S+ error reload %(a file has changed%): nothing has changed: generation 1 serves on\n")
        assert.equal("one", s:get("/say").body)
        put(path, "fake say two")
        serves(s, "two")
        s:stop()
    end)

    it("goes live when the file that it missed appears, also in a folder that was missing", function()
        local folder = server.folder { ["site.lua"] = "fake say one\n" }
        local s = start(folder .. "/site.lua")
        put(folder .. "/site.lua", ("fake say two\nfake plan-missing %s/lib/deep/part.lua"):format(folder))
        s:wait_log('no file "[^\n]+part.lua"\n%S+ error reload')
        assert(os.execute(("mkdir -p %s/lib/deep"):format(folder)))
        write(folder .. "/lib/deep/part.lua", "")
        serves(s, "two")
        s:stop()
    end)

    it("goes live when the file is mended that a worker could not prepare", function()
        local path = server.folder { ["site.lua"] = "fake say one\n" } .. "/site.lua"
        local s = start(path)
        put(path, "fake say two\nfake prepare-fail no database")
        s:wait_log("error reload: moongate: worker 1: no database\n%S+ error reload %(a file has changed%): nothing has changed")
        put(path, "fake say three")
        serves(s, "three")
        s:stop()
    end)
end)

describe("watching", function()
    before_each(instance.begin)
    after_each(instance.sweep)

    it("notices what changes while a reload is going on", function()
        local folder = server.folder { ["site.lua"] = "fake say one\n" }
        local s = start(folder .. "/site.lua")
        put(folder .. "/site.lua", "fake say two\nfake plan-wait " .. folder .. "/go")
        instance.wait_file(folder .. "/go.asked", "asked")
        put(folder .. "/site.lua", "fake say three")
        write(folder .. "/go", "")
        serves(s, "three")
        assert.equal(2, reloads(s))
        s:stop()
    end)

    it("begins to watch a file that has changed since the candidate read it with a reload", function()
        local folder = server.folder { ["site.lua"] = "fake say one\n", ["part.lua"] = "" }
        local s = start(folder .. "/site.lua")
        put(folder .. "/site.lua", ("file %s/part.lua\nfake say two\nfake plan-wait %s/go"):format(folder, folder))
        instance.wait_file(folder .. "/go.asked", "asked")
        write(folder .. "/part.lua", "changed before anybody watched it")
        write(folder .. "/go", "")
        serves(s, "two")
        instance.wait_until(function() return reloads(s) == 2 end)
        s:stop()
    end)

    it("looks at the files each second, and says so, when the kernel watches no more", function()
        local folder = server.folder { ["site.lua"] = "fake say one\n" }
        local s = start(folder .. "/site.lua", { env = { FAKE_WATCHES_MAX = "0" } })
        s:wait_log("warn watch: the limit of watches is reached: raise it %(sysctl fs.inotify.max_user_watches%); the files are looked at each second instead\n")
        put(folder .. "/site.lua", "fake say two")
        serves(s, "two", 4)
        write(folder .. "/other.lua", "")
        put(folder .. "/site.lua", "fake plan-problem oops")
        s:wait_log("error reload %(a file has changed%)")
        put(folder .. "/site.lua", "fake say three")
        serves(s, "three", 4)
        assert.equal(3, reloads(s))
        local _, warnings = s:stop():gsub("warn watch", "")
        assert.equal(1, warnings)
    end)

    it("sees what happened in a queue that was too long", function()
        local most = tonumber(process.read_file("/proc/sys/fs/inotify/max_queued_events"))
        if most > 20000 then return end
        local folder = server.folder { ["site.lua"] = "fake say one\n" }
        local s = start(folder .. "/site.lua")
        local signal = require "posix.signal"
        signal.kill(s.pid, signal.SIGSTOP)
        for _ = 1, most / 2 + 10 do -- each makes two events: created (and opened), closed
            local file = assert(io.open(folder .. "/noise", "w"))
            file:close()
            os.remove(folder .. "/noise")
        end
        put(folder .. "/site.lua", "fake say two")
        signal.kill(s.pid, signal.SIGCONT)
        serves(s, "two")
        put(folder .. "/site.lua", "fake say three")
        serves(s, "three")
        s:stop()
    end)
end)
