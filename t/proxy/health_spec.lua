--- Checks of servers, by one worker for all, and what all make of them. Two drivers on one shared memory are two workers.
local ffi = require "ffi"
local driver = require "t.proxy.driver"
local origin = require "t.support.origin"
local c = require "t.support.c"
c.header("proxy/shared.h")
ffi.cdef "void *calloc(size_t count, size_t bytes); void free(void *at);"
local lib = c.lib()

local GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
local function ok(text) return ("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"):format(#text, text) end

--- An origin whose answer to a check stands in a file, which the spec changes.
local function moody(name)
    local path = os.tmpname()
    local o = origin.start(function(script)
        script:serve(function(request, _, client)
            if request.target ~= "/health" then return ok(name) end
            script:note(request.head)
            local file = assert(io.open(path))
            local answer = file:read("*a")
            file:close()
            if answer == "" then answer = ok "well" end
            if answer == "silent" then require("socket").select(nil, nil, 5) end
            client:send(answer)
            return nil
        end)
    end)
    function o:says(answer)
        local file = assert(io.open(path, "w"))
        file:write(answer)
        file:close()
    end
    return o
end

describe("a check", function()
    local d, shared
    before_each(function()
        shared = ffi.cast("struct proxy_shared *", ffi.C.calloc(1, lib.shared_bytes()))
        d = driver.new { shared = shared, worker = 0 }
    end)
    after_each(function()
        driver.sweep()
        origin.sweep()
        ffi.C.free(shared)
    end)

    local CHECK = "check http\ncheck_path /health\ncheck_ms 20\ncheck_timeout_ms 1000\ncheck_rise 2\ncheck_fall 2\npanic 0\n"
    local function open(which, ...) return assert(which:open("api", table.concat({ ... }, "\n") .. "\n" .. CHECK)) end

    --- What is said of a server: "up", "down", "unreachable" or "unknown".
    local function health(which, api, at)
        local facts = which:server(api, at)
        return ({ [0] = "unknown", "up", "down", "unreachable" })[facts.health], ffi.string(facts.why.at, facts.why.bytes)
    end

    local function becomes(wanted, which, api, at)
        local got, why
        local in_time = pcall(d.run, d, function()
            got, why = health(which, api, at)
            return got == wanted
        end)
        assert.is_true(in_time, ("it is %s: %s"):format(got, why))
        return why
    end

    it("asks for its path, takes a server out that is not well, and lets it back", function()
        local a, b = moody "a", moody "b"
        local api = open(d, a.address, b.address)
        becomes("up", d, api, 0)
        becomes("up", d, api, 1)
        assert.matches("^GET /health HTTP/1.1\r\nHost: 127.0.0.1:%d+\r\nUser%-Agent: moongate%-check\r\nConnection: close\r\n", a:note_of(1))
        b:says "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"
        assert.equal("status 500", becomes("down", d, api, 1))
        for _ = 1, 10 do assert.equal("a", d:run(d:begin(api, GET)).content) end
        b:says ""
        becomes("up", d, api, 1)
        assert.same({ ('upstream "api": %s: is down: status 500 (2 checks in a row)'):format(b.address),
            ('upstream "api": %s: is up: 2 checks in a row were good'):format(b.address) }, d:notices())
    end)

    it("is made by one worker, and what it finds holds for the others", function()
        local a, b = moody "a", moody "b"
        local other = driver.new { shared = shared, worker = 1 }
        local api, theirs = open(d, a.address, b.address), nil
        becomes("up", d, api, 1)
        theirs = open(other, a.address, b.address)
        other:pass(60)
        assert.equal(1, shared.checker)
        b:says "HTTP/1.1 503 Oh\r\nContent-Length: 0\r\n\r\n"
        becomes("down", other, theirs, 1)
        for _ = 1, 10 do assert.equal("a", other:run(other:begin(theirs, GET)).content) end
    end)

    it("is taken over by another worker when the first ends, and when it is not seen any more", function()
        local a = moody "a"
        local other, third = driver.new { shared = shared, worker = 1 }, driver.new { shared = shared, worker = 2 }
        local api = open(d, a.address)
        becomes("up", d, api, 0)
        open(other, a.address)
        open(third, a.address)
        d:close()
        assert.equal(0, shared.checker)
        other:run(function() return shared.checker == 2 end)
        shared.beat_ms = 1 -- since long
        third:run(function() return shared.checker == 3 end)
        other:pass(600)
        assert.equal(3, shared.checker)
    end)

    it("of a worker that died is nobody's: all that it counted is taken off", function()
        local a = moody "a"
        local api = open(d, a.address .. " max=3")
        becomes("up", d, api, 0)
        d:begin(api, GET)
        local place
        for at = 0, 9 do if shared.servers[at].in_use == 1 then place = shared.servers + at end end
        assert.is_truthy(place)
        lib.shared_forget(shared, 0)
        assert.same({ 0, 0 }, { place.in_use, shared.checker })
    end)

    it("says that it could not connect, and such a server is not even used in need", function()
        local a, b = moody "a", moody "b"
        local api = open(d, a.address, b.address)
        becomes("up", d, api, 1)
        b:stop()
        assert.matches("^connecting failed: Connection refused", becomes("unreachable", d, api, 1))
    end)

    for name, case in pairs {
        ["no answer in time"] = { "silent", "no whole answer within 1000 ms" },
        ["an answer that is none"] = { "what?\r\n\r\n", "malformed response head" },
        ["no answer at all"] = { "\r\n", "" },
        ["half a head"] = { "HTTP/1.1 200 OK\r\n", "the connection ended before a response head" },
        ["a status that is not expected"] = { "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", "status 404" },
    } do
        it("takes " .. name .. " for a bad sign", function()
            local a = moody "a"
            a:says(case[1])
            assert.matches(case[2], becomes("down", d, open(d, a.address), 0), 1, true)
        end)
    end

    it("looks for a text in the content, in chunks or to the end of the connection", function()
        local a = moody "a"
        local api = assert(d:open("api", a.address .. "\n" .. CHECK .. "check_body all is well"))
        for _, answer in ipairs { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nall is\r\n5\r\n well\r\n0\r\n\r\n",
                                  "HTTP/1.1 200 OK\r\n\r\nto the end: all is well" } do
            a:says(answer)
            becomes("up", d, api, 0)
            a:says(ok "all is bad")
            assert.equal("the expected text is not in the response", becomes("down", d, api, 0))
        end
    end)

    it("by connecting alone asks for nothing", function()
        local quiet = origin.start(function(script)
            for _ = 1, 1000 do script:accept(60):close() end
        end)
        local api = assert(d:open("api", quiet.address .. "\ncheck tcp\ncheck_ms 20\ncheck_fall 1"))
        becomes("up", d, api, 0)
        quiet:stop()
        becomes("unreachable", d, api, 0)
    end)

    it("that was good ends what connecting in vain had led to", function()
        local port
        do
            local s = require("socket").bind("127.0.0.1", 0)
            port = select(2, s:getsockname())
            s:close()
        end
        local api = open(d, "127.0.0.1:" .. port)
        d:run(d:begin(api, GET))
        becomes("unreachable", d, api, 0)
        local back = origin.start(function(script) script:serve(function() return ok "back" end) end, tonumber(port))
        becomes("up", d, api, 0)
        assert.equal("back", d:run(d:begin(api, GET)).content)
        back:stop()
    end)

    it("is not made of servers of an upstream that is closed, nor of those that have left", function()
        local a = moody "a"
        local api = open(d, a.address)
        becomes("up", d, api, 0)
        lib.proxy_upstream_close(d.proxy, api)
        d:pass(600)
        local before = #a:noted()
        d:pass(200)
        assert.equal(before, #a:noted())
    end)

    it("counts connections of all workers together", function()
        local o = origin.start(function(script) script:serve(function() require("socket").select(nil, nil, 0.2) return ok "slow" end) end)
        local other = driver.new { shared = shared, worker = 1 }
        local mine, theirs = d:open("api", o.address .. " max=1"), other:open("api", o.address .. " max=1")
        local first = d:begin(mine, GET)
        local second = other:begin(theirs, GET)
        other:pass(30)
        assert.same({ nil, 0 }, { second.ended, tonumber(other:facts().connects) }) -- it waits for what another worker uses
        assert.equal("slow", d:run(first).content)
        assert.equal("slow", other:run(second).content)
    end)
end)

describe("memory that workers share", function()
    it("has a place for each of 1024 servers, and gives those away that nobody holds", function()
        local shared = ffi.cast("struct proxy_shared *", ffi.C.calloc(1, lib.shared_bytes()))
        local places = {}
        for name = 1, 1024 do places[name] = lib.shared_get(shared, name, name % 3) end
        assert.is_true(places[1024] ~= nil)
        assert.is_true(lib.shared_get(shared, 5000, 0) == nil)
        assert.is_true(lib.shared_get(shared, 7, 1) == places[7])
        lib.shared_put(shared, places[7], 1)
        assert.is_true(lib.shared_get(shared, 5000, 0) == nil) -- the first still holds it
        lib.shared_put(shared, places[7], 1)
        assert.is_true(lib.shared_get(shared, 5000, 0) == places[7])
        lib.shared_forget(shared, 2)
        assert.is_true(lib.shared_get(shared, 5001, 0) == places[2])
        ffi.C.free(shared)
    end)
end)
