--- Under a service manager: sockets that it holds for us (sd_listen_fds), and what it is told (sd_notify).
local lfs = require "lfs"
local process = require "t.support.process"
local server = require "t.support.server"
local socket = require "socket"
local wire = require "t.support.wire"

after_each(server.sweep)

local APP = 'local app = require "moongate".app()\napp:get("/", function() return "hello" end)\n'

describe("sockets that a service manager holds", function()
    --- Serves with these listening; returns the child, its port and its log.
    local function activated(listen, more)
        local folder = server.folder()
        local port = wire.free_port()
        local path = folder .. "/held.sock"
        local file = process.write_file(folder .. "/app.lua", APP .. ("return { app = app, listen = %s }"):format(listen:format(port, path)))
        local name = "held-" .. port
        server.expect_successor(name)
        local words = { process.compile("activate", folder), tostring(port), path }
        for _, word in ipairs(more or {}) do words[#words + 1] = word end
        for _, word in ipairs { "--", server.binary, "run", file, "--name", name, "--workers", "3" } do words[#words + 1] = word end
        words.stderr, words.stdout = folder .. "/log", folder .. "/out"
        words.env = { MOONGATE_RUNTIME_DIR = os.getenv("MOONGATE_RUNTIME_DIR") }
        local child = process.spawn(words)
        local limit = process.now() + 10
        repeat child:wait(0.01) until process.read_file(folder .. "/log"):find("serves", 1, true) or not child:is_running() or process.now() > limit
        return child, port, path, process.read_file(folder .. "/log"), name
    end

    it("are listened on instead of ours, by all workers; what waited there is served", function()
        local child, port, path, log, name = activated("{ '127.0.0.1:%d', 'unix:%s' }")
        assert.matches("serves http://127%.0%.0%.1:" .. port .. " unix:" .. path:gsub("%p", "%%%0"), log)
        for _ = 1, 20 do
            assert.equal("hello", wire.connect("127.0.0.1", port):get("/").body)
            assert.equal("hello", wire.connect("unix:" .. path):get("/").body)
        end
        assert.equal(0, (server.run { "stop", "--name", name }))
        child:wait(5)
        assert.truthy(lfs.attributes(path), "the socket's path is the manager's to remove")
    end)

    it("that the config does not name are closed, with a word", function()
        local _, port, path, log = activated("'127.0.0.1:%d'")
        assert.matches("warn listen: unix:" .. path:gsub("%p", "%%%0") .. ": handed to us, but the config does not listen there: closed", log)
        assert.equal("hello", wire.connect("127.0.0.1", port):get("/").body)
    end)
end)

describe("the service manager", function()
    it("is told when the instance serves, reloads, is handed over and stops, and that it lives", function()
        local folder = server.folder()
        local heard = assert(socket.try(require("socket.unix").dgram()))
        assert(heard:bind(folder .. "/notify"))
        heard:settimeout(5)
        local all = {}
        local function hear(pattern)
            for _ = 1, 200 do
                local text = assert(heard:receive(), "nothing more was told; so far: " .. table.concat(all, " | "))
                all[#all + 1] = text
                if text:find(pattern) then return text end
            end
        end
        local s = server.start { script = APP .. "return app", env = { NOTIFY_SOCKET = folder .. "/notify", WATCHDOG_USEC = "100000" } }
        server.expect_successor(s.name)
        assert.matches("STATUS=serving, 1 worker", hear("^READY=1\n"))
        hear("^WATCHDOG=1$")
        hear("^WATCHDOG=1$")
        assert.equal(0, (server.run { "reload", "--name", s.name }))
        hear("^RELOADING=1\nMONOTONIC_USEC=%d+$")
        hear("^READY=1\n")
        assert.equal(0, (server.run { "upgrade", "--name", s.name }))
        local pid = hear("^MAINPID=%d+$"):match("%d+")
        assert.is_true(process.exists(tonumber(pid)))
        hear("^WATCHDOG=1$")
        assert.equal(0, (server.run { "stop", "--name", s.name }))
        hear("^STOPPING=1$")
        heard:close()
    end)
end)
