--- Many reloads, under load and one after the other: no answer is lost, wrong or late, and nothing grows. The counts are small in the suite;
--- MG_RELOADS=500 and MG_RELOADS_ALONE=1000 are the long forms.
local process = require "t.support.process"
local reloads = require "t.support.reloads"
local server = require "t.support.server"

local UNDER_LOAD = tonumber(os.getenv("MG_RELOADS")) or (server.sanitized and 5 or 40)
local ALONE = tonumber(os.getenv("MG_RELOADS_ALONE")) or (server.sanitized and 30 or 300)
local CLIENTS = 64

local function site(version)
    local text = ([==[
app:filter("/*", function(req, next)
    local res = next(req)
    res.headers["x-version"] = "@V@"
    return res
end)
app:get("/hello/:name", function(req) return "hello " .. req.params.name .. " from @V@" end)
mg.every("5ms", function() end)
]==]):gsub("@V@", version)
    return text
end

--- A request on each connection, then every answer: all whole, all of one version that is not older than the last one seen there.
local function round(clients, seen, number)
    for at = 1, CLIENTS do clients[at]:send(("GET /hello/c%d-%d HTTP/1.1\r\nHost: a\r\n\r\n"):format(at, number)) end
    for at = 1, CLIENTS do
        local response = clients[at]:read()
        local name, version = response.body:match("^hello (%S+) from (%d+)$")
        assert.equal(200, response.status)
        assert.equal(("c%d-%d"):format(at, number), name)
        assert.equal(version, response:get "x-version")
        version = tonumber(version)
        assert.is_true(version >= seen[at], "an older site answered")
        seen[at] = version
    end
end

describe("reloads", function()
    local r
    before_each(reloads.begin)
    after_each(reloads.sweep)

    it(("under the load of %d kept connections lose, mix up and close nothing, %d times"):format(CLIENTS, UNDER_LOAD), function()
        r = reloads.start(site(1), { workers = 2 })
        local clients, seen = {}, {}
        for at = 1, CLIENTS do clients[at], seen[at] = r.server:connect(), 0 end
        local workers, done, number, asked = r.server:workers(), 0, 0, nil
        local limit = process.now() + 10 + UNDER_LOAD
        while done < UNDER_LOAD do
            if not asked then
                r:write(site(done + 2))
                asked = r:ask_reload()
            end
            number = number + 1
            round(clients, seen, number)
            local answer = asked()
            if answer then
                assert.matches("generation " .. done + 2 .. " in 2 workers", answer)
                asked, done = nil, done + 1
                round(clients, seen, number)
                for at = 1, CLIENTS do assert.equal(done + 1, seen[at]) end
            end
            assert(process.now() < limit, "the reloads take too long")
        end
        assert.same(workers, r.server:workers())
        r:wait_alone()
        local log = r.server:stop()
        assert.is_nil(log:match("[^\n]* error [^\n]*"))
    end)

    --- Kilobytes of private memory that are resident.
    local function resident(pid)
        local text = process.read_file(("/proc/%d/status"):format(pid))
        return tonumber(text:match("RssAnon:%s*(%d+)")) + tonumber(text:match("RssFile:%s*(%d+)"))
    end

    local function descriptors(pid)
        local count = 0
        for _ in require("posix.dirent").files(("/proc/%d/fd"):format(pid)) do count = count + 1 end
        return count
    end

    it(("leave nothing behind: memory and descriptors after %d are those after 20"):format(ALONE), function()
        r = reloads.start(site(1))
        local worker = r.server:workers()[1]
        local client = r.server:connect()
        local memory, files, least, version = nil, nil, math.huge, 1
        for count = 1, ALONE do
            version = version % 7 + 1
            r:write(site(version))
            assert.matches("generation " .. count + 1 .. " in 1 worker", r:ask_reload()(true))
            for at = 1, 20 do assert.equal(("hello %d from %d"):format(at, version), client:get("/hello/" .. at).body) end
            if count == 20 then memory, files = resident(worker), descriptors(worker) end
            if count > ALONE - 5 then least = math.min(least, resident(worker)) end
        end
        r:wait_alone()
        assert.equal(files, descriptors(worker))
        assert.is_true(server.sanitized or least <= memory * 1.05, ("%d kB after 20, %d kB after %d"):format(memory, least, ALONE))
        if os.getenv("MG_RELOADS_ALONE") then print(("%d kB after 20, %d kB after %d"):format(memory, least, ALONE)) end
        assert.equal(1, #r:generations())
        r.server:stop()
    end)
end)
