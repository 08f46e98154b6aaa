--- Which engine a gateway runs on: its choice, what the user chose, and what is said where the kernel refuses.
local cjson = require "cjson"
local process = require "t.support.process"
local server = require "t.support.server"

local HELLO = [[
local app = require "moongate".app()
app:get("/", function() return "hello" end)
app:files("/files/*", ".")
return app
]]

describe("a gateway", function()
    local refuse
    setup(function()
        local folder = process.folder()
        process.compile("refuse", folder)
        refuse = folder .. "/refuse"
    end)
    teardown(function() process.remove_folder(refuse:match("^(.*)/")) end)
    after_each(server.sweep)

    --- A running one, with the engine chosen here and nowhere else.
    local function start(options)
        options.script = options.script or HELLO
        options.env = { MOONGATE_ENGINE = options.variable or false }
        return server.start(options)
    end

    local function engines_of(s)
        local code, out = server.run { "status", "--json", "--name", s.name }
        assert.equal(0, code)
        local names = {}
        for at, worker in ipairs(cjson.decode(out).workers) do names[at] = worker.engine end
        return table.concat(names, " ")
    end

    for error, why in pairs { EPERM = "is refused to this process", ENOSYS = "is not there" } do
        it(("that is refused io_uring by %s serves with epoll, and says once why and how to get the ring"):format(error), function()
            local s = start { through = { refuse, error }, workers = 2 }
            assert.equal("hello", s:get("/").body)
            assert.equal(HELLO, s:get("/files/app.lua").body)
            assert.equal("epoll epoll", engines_of(s))
            local code, out = server.run { "reload", "--name", s.name }
            assert.equal(0, code, out)
            local log = s:stop()
            local line = log:match("[^\n]*serving with epoll[^\n]*")
            assert.matches("warn worker 1: serving with epoll, which takes more CPU time: io_uring " .. why, line, 1, true)
            assert.matches("seccomp profile", line, 1, true)
            assert.matches("io_uring_setup, io_uring_enter and io_uring_register", line, 1, true)
            assert.equal(1, select(2, log:gsub("serving with epoll", "")))
        end)

        it(("that is to use io_uring and is refused it by %s ends with exit code 5 and the cure"):format(error), function()
            local folder = server.folder { ["app.lua"] = HELLO, ["site.lua"] = "return { engine = 'io_uring', listen = '127.0.0.1:0', app = 'app.lua' }" }
            local ways = { { "run", folder .. "/app.lua", "--listen", "127.0.0.1:0", "--engine", "io_uring" }, { "run", folder .. "/site.lua" } }
            for _, way in ipairs(ways) do
                local code, out, err = process.run({ refuse, error, server.binary, way[1], way[2], unpack(way, 3) }, 20)
                assert.equal(5, code, err)
                assert.equal("", out)
                assert.matches("^moongate: worker %d: io_uring " .. why .. "[^\n]*\n$", err)
            end
        end)
    end

    it("takes io_uring where it is allowed, and epoll when it is told to: by the config, the command line or the environment", function()
        local site = server.folder { ["app.lua"] = HELLO, ["site.lua"] = "return { engine = 'epoll', app = 'app.lua' }" } .. "/site.lua"
        local ways = {
            { "io_uring", {} }, { "epoll", { args = { "--engine", "epoll" } } }, { "epoll", { variable = "epoll" } }, { "epoll", { file = site } },
            { "io_uring", { file = site, args = { "--engine", "io_uring" } } }, { "io_uring", { variable = "epoll", args = { "--engine", "io_uring" } } },
        }
        for at, way in ipairs(ways) do
            local s = start(way[2])
            assert.equal(way[1], engines_of(s), "way " .. at)
            assert.equal("hello", s:get("/").body)
            assert.is_nil(s:stop():find("serving with", 1, true))
        end
    end)

    it("keeps its engine through a reload that asks for another, and says so", function()
        local s = start { script = "return { engine = 'io_uring', app = 'app2.lua' }", files = { ["app2.lua"] = HELLO } }
        assert.equal("io_uring", engines_of(s))
        process.write_file(s.file, "return { engine = 'epoll', app = 'app2.lua' }")
        assert.equal(0, (server.run { "reload", "--name", s.name }))
        s:wait_log('reload: engine: each worker keeps the one it has; "epoll" holds after a restart')
        assert.equal("io_uring", engines_of(s))
        s:stop()
    end)

    it("refuses a name that is no engine", function()
        local code, _, err = server.run { "run", "x.lua", "--engine", "kqueue" }
        assert.equal(2, code)
        assert.matches('--engine: expected auto, io_uring or epoll, got "kqueue"', err, 1, true)
    end)
end)
