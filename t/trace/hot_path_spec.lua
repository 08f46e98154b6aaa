--- The loop that answers requests, watched from inside the real program: it is compiled, nothing of ours aborts a trace once it is warm, and
--- no request allocates, neither in Lua (the collector is stopped and memory compared) nor in C (calls of the allocator are counted).
local process = require "t.support.process"
local server = require "t.support.server"

local SCRIPT = [[
local mg = require "moongate"
local app = mg.app()
local ffi = require "ffi"
local jutil, vmdef = require "jit.util", require "jit.vmdef"
local aborts, dispatchers = {}, {}

local function place(func, pc)
    local info = jutil.funcinfo(func, pc)
    return info.loc or info.source or "C", info.source or ""
end

jit.attach(function(what, _, func, pc, code, detail)
    if what == "start" then
        if select(2, place(func, pc)):find("moongate.dispatcher", 1, true) then dispatchers[func] = true end
    elseif what == "abort" then
        local text = type(code) == "number" and vmdef.traceerr[code] or tostring(code)
        local where = place(func, pc)
        if where:find("^moongate") then aborts[#aborts + 1] = where .. ": " .. text .. " " .. tostring(detail) end
    end
end, "trace")

--- The loop instructions of the dispatchers as they are now: JLOOP is machine code, ILOOP is given up for ever.
local function loops()
    local found = {}
    for func in pairs(dispatchers) do
        local pc = 0
        local instruction = jutil.funcbc(func, pc)
        while instruction do
            local at = bit.band(instruction, 255) * 6
            local name = vmdef.bcnames:sub(at + 1, at + 6):gsub(" ", "")
            if name:find("LOOP", 1, true) then found[#found + 1] = name end
            pc = pc + 1
            instruction = jutil.funcbc(func, pc)
        end
    end
    return found
end

local count_c = function() return 0 end
if os.getenv("SPEC_COUNTS") then
    ffi.cdef "unsigned long spec_allocations(void);"
    count_c = function() return tonumber(ffi.C.spec_allocations()) end
end

app:on_start(function() collectgarbage("collect") collectgarbage("stop") end)
app:get("/probe", function(req)
    return table.concat(aborts, "\n") .. "\n\n" .. table.concat(loops(), " ")
end)

app:get("/bytes", function(req) return ("%d %d"):format(collectgarbage("count") * 1024, count_c()) end)

app:files("/files/*", "public")
local api = mg.upstream { servers = { "unix:SOCKET" } }
app:proxy("/proxied/*", api)
app:proxy("/renamed/:id/*", api, { path = "/proxied/:id/*" })
app:filter("/proxied/filtered/*", function(req, next) local res = next(req); res.headers["x-filter"] = "yes"; return res end)
app:get("/hello", function(req) return "Hello, World!" end)
app:get("/users/:id/:name", function(req) local params = req.params; return params.name end)
app:get("/header", function(req) return req.headers["x-one"] end)
app:get("/path", function(req) return req.path end)
app:get("/method", function(req) return req.method end)
app:get("/status", function(req) return 201, "made" end)
app:filter("/filtered/*", function(req, next) local res = next(req); res.headers["x-filter"] = "yes"; return res end)
app:filter("/filtered/twice/*", function(req, next) local res = next(req); res.status = 203; return res end)
app:get("/filtered/x", function(req) return "filtered" end)
app:get("/filtered/twice/x", function(req) return "filtered twice" end)
app:get("/when", { when = function(req) return req.headers["x-one"] == "no" end }, function(req) return "never" end)
app:get("/when", function(req) return "otherwise" end)
app:get("/garbage", function(req) return 200, "x", { ["x-a"] = "1" } end)
app:get("/closure", function(req) local f = function() return req.path end return f() end)
return app
]]

local WARM, COUNTED, DEPTH = 3000, 10000, 50 -- pipelined

local function pump(c, target, count)
    local batch = {}
    for at = 1, DEPTH do batch[at] = { "GET", target, { ["X-One"] = "one", ["User-Agent"] = "spec" } } end
    for _ = 1, count / DEPTH do c:pipeline(batch) end
end

--- Aborts in our own files so far, as text, and the dispatcher's loops.
local function probe(c) return c:get("/probe").body:match("^(.-)\n\n(.*)$") end

--- Bytes of Lua and calls of the C allocator so far.
local function memory(c)
    local bytes, calls = c:get("/bytes").body:match("(%d+) (%d+)")
    return tonumber(bytes), tonumber(calls)
end

--- What `COUNTED` requests add, without the share of asking.
local function growth(c, target)
    local bytes_first, calls_first = memory(c)
    local bytes_before, calls_before = memory(c)
    pump(c, target, COUNTED)
    local bytes, calls = memory(c)
    return bytes - bytes_before - (bytes_before - bytes_first), calls - calls_before - (calls_before - calls_first)
end

--- What warm requests cost: bytes, calls, aborts and loops. A trace that is still being made takes Lua's memory, too: the least of
--- several rounds counts.
local function cost(c, target)
    pump(c, target, WARM)
    memory(c)
    local aborts_before = probe(c)
    local least, calls
    for _ = 1, 5 do
        local bytes
        bytes, calls = growth(c, target)
        if not least or bytes < least then least = math.max(bytes, 0) end
        if least < 256 then break end
    end
    local aborts, loops = probe(c)
    return { bytes = least, allocations = calls, aborts = aborts:sub(#aborts_before + 1), loops = loops }
end

describe("the hot path", function()
    local s, c, library, behind
    setup(function()
        local env
        if not server.sanitized then
            library = server.folder() .. "/count_malloc.so"
            local code, _, errors = process.run({ "cc", "-shared", "-fPIC", "-O1", "-fno-builtin", "-o", library, "t/trace/count_malloc.c" }, 60)
            assert.equal(0, code, errors)
            env = { LD_PRELOAD = library, SPEC_COUNTS = "1" }
        end
        local path = server.folder() .. "/behind"
        behind = server.start { listen = { "unix:" .. path }, script = [[local app = require("moongate").app()
            app:get("/proxied/*", function(req) return "proxied" end) return app]] }
        s = server.start { script = (SCRIPT:gsub("SOCKET", path)), env = env, files = { ["public/small"] = "small", ["public/page.html"] = ("<p>page</p>\n"):rep(500) } }
        c = s:connect()
        c:get("/files/small")
        c:get("/files/page.html")
    end)
    teardown(function()
        s:stop()
        behind:stop()
        server.sweep()
    end)

    for _, target in ipairs {
        "/hello", "/users/7/jane", "/header", "/path", "/method", "/status", "/filtered/x", "/filtered/twice/x", "/when",
        "/files/small",
    } do
        it(("of %s is compiled and allocates nothing"):format(target), function()
            local seen = cost(c, target)
            assert.equal("", seen.aborts)
            assert.equal("JLOOP", seen.loops)
            assert.is_true(seen.bytes < 256, ("%d bytes of Lua in %d requests"):format(seen.bytes, COUNTED))
            assert.equal(0, seen.allocations)
        end)
    end

    for _, target in ipairs { "/proxied/x", "/proxied/filtered/x", "/renamed/7/x" } do
        it(("of %s to an upstream is compiled and allocates nothing"):format(target), function()
            local seen = cost(c, target)
            assert.equal("", seen.aborts)
            assert.equal("JLOOP", seen.loops)
            assert.is_true(seen.bytes < 256, ("%d bytes of Lua in %d requests"):format(seen.bytes, COUNTED))
            assert.equal(0, seen.allocations)
        end)
    end

    it("of a file that is lent is compiled and allocates nothing but what keeps input while answers wait, once a batch", function()
        local seen = cost(c, "/files/page.html")
        assert.equal("", seen.aborts)
        assert.equal("JLOOP", seen.loops)
        assert.is_true(seen.bytes < 256, ("%d bytes of Lua in %d requests"):format(seen.bytes, COUNTED))
        assert.is_true(seen.allocations <= COUNTED / DEPTH, seen.allocations .. " allocations")
    end)

    it("is measured by something that sees a table per request", function()
        assert.is_true(cost(c, "/garbage").bytes >= 40 * COUNTED)
        local _, calls = memory(c)
        assert.is_true(calls > 0 or server.sanitized)
    end)

    it("stays compiled while a route that cannot be compiled is asked for again and again", function()
        pump(c, "/closure", 5000)
        local seen = cost(c, "/hello")
        assert.equal("", seen.aborts)
        assert.equal("JLOOP", seen.loops)
    end)

    it("is the same after reloads", function()
        for _ = 1, 3 do
            assert.equal(0, (server.run { "reload", "--name", s.name }))
            pump(c, "/closure", 1000)
        end
        for _, target in ipairs { "/hello", "/users/7/jane", "/filtered/x" } do
            local seen = cost(c, target)
            assert.equal("", seen.aborts)
            assert.equal("JLOOP", seen.loops)
            assert.is_true(seen.bytes < 256, ("%s: %d bytes of Lua in %d requests"):format(target, seen.bytes, COUNTED))
            assert.equal(0, seen.allocations)
        end
    end)
end)
