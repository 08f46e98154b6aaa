--- A server that a check had found down stayed out for ever when a reload took the check away: nobody was there to find it well again.
local ffi = require "ffi"
local driver = require "t.proxy.driver"
local origin = require "t.support.origin"
local c = require "t.support.c"
c.header("proxy/shared.h")
ffi.cdef "void *calloc(size_t count, size_t bytes); void free(void *at);"
local lib = c.lib()

local CHECKED = "\ncheck http\ncheck_path /health\ncheck_ms 20\ncheck_timeout_ms 200\ncheck_rise 1\ncheck_fall 1\n"
local UNKNOWN, DOWN = 0, 2

describe("a server whose check is taken away", function()
    local shared, workers
    before_each(function()
        shared = ffi.cast("struct proxy_shared *", ffi.C.calloc(1, lib.shared_bytes()))
        workers = { driver.new { shared = shared, worker = 0 }, driver.new { shared = shared, worker = 1 } }
    end)
    after_each(function()
        driver.sweep()
        origin.sweep()
        ffi.C.free(shared)
    end)

    local function reload(d, from, name, lines)
        local to = assert(d:open(name, lines))
        lib.proxy_upstream_close(d.proxy, from)
        return to
    end

    local function wait_for(health, d, api)
        d:run(function()
            workers[2]:turn(0)
            return d:server(api, 0).health == health
        end)
    end

    local function sick()
        return origin.start(function(script) script:serve(function() return "HTTP/1.1 500 Ill\r\nContent-Length: 0\r\n\r\n" end) end)
    end

    it("is as good as any other again, when no other server is checked either", function()
        local o, handles = sick(), {}
        for at, d in ipairs(workers) do handles[at] = assert(d:open("api", o.address .. CHECKED)) end
        wait_for(DOWN, workers[1], handles[1])
        for at, d in ipairs(workers) do handles[at] = reload(d, handles[at], "api", o.address .. "\n") end
        wait_for(UNKNOWN, workers[1], handles[1])
        assert.equal(UNKNOWN, workers[2]:server(handles[2], 0).health)
    end)

    it("is as good as any other again, when others are checked still", function()
        local o, handles = sick(), {}
        for at, d in ipairs(workers) do
            d:open("other", o.address .. CHECKED)
            handles[at] = assert(d:open("api", o.address .. CHECKED))
        end
        wait_for(DOWN, workers[1], handles[1])
        for at, d in ipairs(workers) do handles[at] = reload(d, handles[at], "api", o.address .. "\n") end
        wait_for(UNKNOWN, workers[1], handles[1])
    end)
end)
