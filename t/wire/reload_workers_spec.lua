--- Reloads of the real program that change what it listens on, how many workers it has and where it logs, while clients go on.
local instance = require "t.support.instance"
local process = require "t.support.process"
local server = require "t.support.server"
local wire = require "t.support.wire"

describe("a reload that changes the processes", function()
    local file, s

    local function config(values)
        return ([[
local mg = require "moongate"
local app = mg.app()
app:get("/", function(req) return "%s" end)
app:get("/slow", function(req) mg.sleep("300ms") return "slow %s" end)
return { listen = { %s }, workers = %d, %s app = app }
]]):format(values.text, values.text, values.listen, values.workers or 1, values.more or "")
    end

    local function start(values)
        file = instance.config(config(values))
        s = instance.start("", { file = file, listen = {}, workers = false })
    end

    local function reload(values)
        process.write_file(file, config(values))
        local code, out, err = instance.run { "reload", "--name", s.name }
        assert.same({ 0, "" }, { code, err })
        return out
    end

    local function get(port, path) return wire.connect("127.0.0.1", port):get(path or "/").body end

    before_each(function()
        instance.begin()
        server.binary = instance.real
    end)
    after_each(instance.sweep)

    it("serves new addresses in every worker, and lets go of old ones without breaking what is open", function()
        local a, b = wire.free_port(), wire.free_port()
        start { text = "one", workers = 2, listen = ('"127.0.0.1:%d"'):format(a) }
        local kept, slow = wire.connect("127.0.0.1", a), wire.connect("127.0.0.1", a)
        assert.equal("one", kept:get("/").body)
        slow:send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        assert.matches("; listens on http://127.0.0.1:" .. a .. " http://127.0.0.1:" .. b,
            reload { text = "two", workers = 2, listen = ('"127.0.0.1:%d", "127.0.0.1:%d"'):format(a, b) })
        for _ = 1, 20 do assert.equal("two", get(b)) end
        reload { text = "three", workers = 2, listen = ('"127.0.0.1:%d"'):format(b) }
        instance.wait_until(function() return wire.is_refused("127.0.0.1", a) end)
        assert.equal("three", kept:get("/").body)
        assert.equal("slow one", slow:read().body)
        for _ = 1, 20 do assert.equal("three", get(b)) end
        reload { text = "four", workers = 2, listen = ('"127.0.0.1:%d", "127.0.0.1:%d"'):format(b, a) }
        for _ = 1, 20 do assert.equal("four", get(a)) end
        s:stop()
    end)

    it("grows and shrinks under load: nobody is refused, reset or forgotten", function()
        local port = wire.free_port()
        start { text = "0", workers = 1, listen = ('"127.0.0.1:%d"'):format(port) }
        local load = process.fork({}, function()
            for _ = 1, 1200 do assert(get(port):match("^%d+$")) end
        end)
        for round = 1, 9 do reload { text = tostring(round), workers = ({ 3, 1, 2 })[round % 3 + 1], listen = ('"127.0.0.1:%d"'):format(port) } end
        assert.same({ "exited", 0 }, { load:wait(30) })
        for _ = 1, 30 do assert.equal("9", get(port)) end
        instance.wait_until(function() return #s:workers() == 3 end)
        s:stop()
    end)

    it("moves the logs, and back", function()
        local port, folder = wire.free_port(), server.folder()
        local listen = ('"127.0.0.1:%d"'):format(port)
        start { text = "one", listen = listen }
        reload { text = "two", listen = listen, more = ('log = { access = "%s/access", errors = "%s/errors" },'):format(folder, folder) }
        assert.equal("two", get(port))
        instance.wait_file(folder .. "/access", "GET /")
        instance.wait_file(folder .. "/errors", "info reload %(moongate reload%): generation 2")
        reload { text = "three", listen = listen }
        assert.equal("three", get(port))
        s:wait_log("info reload %(moongate reload%): generation 3")
        s:stop()
        local _, lines = process.read_file(folder .. "/access"):gsub("\n", "")
        assert.equal(1, lines)
    end)
end)
